const stored = document.getElementById("sounds");
const sounds = stored ? JSON.parse(stored.textContent) : {};
const players = [...document.querySelectorAll("audio")];
for (const player of players) player.src = "data:audio/wav;base64," + sounds[player.dataset.clip];
const hush = (but) => players.forEach((player) => player === but || player.pause());
document.addEventListener("play", (event) => hush(event.target), true);
document.addEventListener("close", () => hush(), true);
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
  else if (event.target.matches("dialog")) event.target.close();
});
