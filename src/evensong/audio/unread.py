"""Sound that is not read here, called by what it is, with the command that makes a WAV of it."""

import re

from evensong.errors import InputFault

CONVERT = "ffmpeg -i IN OUT.wav"
HEAD_BYTES = 64  # that tell all formats apart

CONVERTED_SUFFIXES = frozenset(
    {".3g2", ".3gp", ".aac", ".ac3", ".amr", ".ape", ".au", ".avi", ".caf", ".dss", ".m4b", ".m4v", ".mka", ".mkv"}
    | {".mov", ".mp2", ".mp4", ".mpg", ".qta", ".voc", ".w64", ".webm", ".wma", ".wmv", ".wv"}
)
# Sound by name, but nothing here reads it: such a file is refused aloud instead of passed over. The converter of the
# last two is their recorders' maker's.
UNREAD_SUFFIXES = CONVERTED_SUFFIXES | {".w4v", ".wac"}
_FIRST_BYTES = {
    rb"\x1aE\xdf\xa3.*webm": "WebM, as browsers record it",
    rb"\x1aE\xdf\xa3": "Matroska",
    rb"#!AMR": "AMR, as phones record it",
    rb"\xff[\xf0\xf1\xf8\xf9]": "AAC without a container (ADTS)",
    rb"caff\0": "CAF, as Apple's devices record it",
    rb"....(?:moov|mdat|wide|free|skip)": "QuickTime",
    rb"0&\xb2u\x8ef\xcf\x11": "WMA or WMV (ASF)",
    rb"\xff[\xf4\xf5\xfc\xfd]": "MP2 (MPEG audio, layer II)",
    rb"RIFF....AVI ": "AVI",
    rb"RIFX....WAVE": "WAV with its bytes in reverse (RIFX)",
    rb"riff\x2e\x91\xcf\x11": "Wave64",
    rb"\.snd": "AU",
    rb"FLV\x01": "Flash video",
    rb"\0\0\x01\xba": "an MPEG stream",
    rb"\x0bw": "AC-3",
    rb"wvpk": "WavPack",
    rb"MAC ": "Monkey's Audio (APE)",
    rb"TTA1": "True Audio (TTA)",
    rb"\x02dss": "DSS, of a dictating machine",
    rb"Creative Voice File": "VOC",
}


def named(what: str, reason: str = "Q_FORMAT") -> InputFault:
    """The fault of a file whose content is known and not read."""
    return InputFault(reason, f"the content is {what}, which is not read; make a WAV of it: {CONVERT}")


def by_first_bytes(*heads: bytes) -> InputFault:
    """The fault of a file that begins with none of the formats that are read.

    Args:
        heads: HEAD_BYTES at the beginning, and behind the tags that may stand there.
    """
    known = (what for pattern, what in _FIRST_BYTES.items() for head in heads if re.match(pattern, head, re.DOTALL))
    what = next(known, "")
    return named(what) if what else InputFault("Q_FORMAT", "the content is no WAV, FLAC, OGG, MP3, M4A or AIFF")
