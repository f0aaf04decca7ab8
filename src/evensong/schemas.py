"""The schema of every section of params.yaml. No values live here: params.yaml is the only place for them."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, TypeAdapter, field_validator, model_validator

from evensong.params import Section

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Decibel = Annotated[float, Field(ge=-200, le=200, allow_inf_nan=False)]
Transform = Literal["time_stretch", "noise", "volume", "combined", "pitch_shift"]
# Values so close to neutral (centre, half width) that a copy would be its original once more: never drawn.
NEUTRAL = {"stretch_rate": (1.0, 0.03), "gain_db": (0.0, 1.0), "pitch_semitones": (0.0, 0.25)}
_INTERVALS: dict[Transform, tuple[str, ...]] = {
    "time_stretch": ("stretch_rate",),
    "noise": (),
    "volume": ("gain_db",),
    "combined": ("stretch_rate", "gain_db"),
    "pitch_shift": ("pitch_semitones",),
}
SubDb = Annotated[int, Field(ge=1, le=9)]
Label = Annotated[int, Field(ge=0, le=1)]


def _is_pattern(pattern: str | None) -> str | None:
    """A file-name pattern must compile and capture exactly what it is for."""
    if pattern is not None:
        try:
            n_groups = re.compile(pattern).groups
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"not a regular expression ({error})") from error
        if n_groups != 1:
            raise ValueError(f"needs exactly one capture group (...), has {n_groups}")
    return pattern


def _are_unique(values: list[Any], what: str = "values") -> None:
    if len(set(values)) != len(values):
        raise ValueError(f"{what} are repeated")


def _unique(values: list[Any]) -> list[Any]:
    _are_unique(values)
    return values


def _is_no_summary(name: str) -> str:
    if name == "all":
        raise ValueError("'all' is what the confounders are called together; rename the survey's column")
    return name


SubDbs = Annotated[list[SubDb], Field(min_length=1), AfterValidator(_unique)]
Seeds = Annotated[list[Seed], AfterValidator(_unique)]
Confounder = Annotated[str, Field(min_length=1), AfterValidator(_is_no_summary)]
Confounders = Annotated[list[Confounder], AfterValidator(_unique)] | None
FoldNumber = Annotated[int, Field(ge=0)]
Folds = Literal["all"] | Annotated[list[FoldNumber], Field(min_length=1), AfterValidator(_unique)]  # those to train
FOLDS: TypeAdapter[Any] = TypeAdapter(Folds)  # night.train.folds, voice.train.folds
Labels = Annotated[list[Annotated[str, Field(min_length=1)]], AfterValidator(_unique)]
Name = Annotated[str, Field(min_length=1)]
Names = Annotated[list[Name], AfterValidator(_unique)]
NAMES: TypeAdapter[list[str]] = TypeAdapter(Names)  # night.embed.data, voice.embed.data
HeadChoice = Literal["logistic", "mlp", "best"]
HEAD: TypeAdapter[HeadChoice] = TypeAdapter(HeadChoice)  # night.embed.head, voice.embed.head
Sources = Literal["clips", "field", "both"]
LABELS: TypeAdapter[list[str]] = TypeAdapter(Labels)  # night.scan.background
SOURCES: TypeAdapter[Sources] = TypeAdapter(Sources)  # night.sources
Pattern = Annotated[str | None, AfterValidator(_is_pattern)]
PATTERN: TypeAdapter[str | None] = TypeAdapter(Pattern)  # night.scan.group_pattern, night.index.fold_pattern
SECONDS: TypeAdapter[float] = TypeAdapter(Positive)  # night.mels.clip_seconds
NearDuplicates = Literal["ignore", "note", "group"]  # recordings of two owners that hold nearly the same sound
NEAR_DUPLICATES: TypeAdapter[NearDuplicates] = TypeAdapter(NearDuplicates)  # voice.scan.near_duplicates
SUBDBS: TypeAdapter[list[int]] = TypeAdapter(SubDbs)  # voice.subdbs
SEEDS: TypeAdapter[list[int]] = TypeAdapter(Seeds)  # voice.control_seeds
CONFOUNDERS: TypeAdapter[list[str] | None] = TypeAdapter(Confounders)  # voice.confounders


class Range(Section):
    """A closed interval that a value is drawn from uniformly."""

    min: float
    max: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.min <= self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self

    def within(self, low: float, high: float, why: str) -> None:
        """Refuse an interval that leaves low to high."""
        if self.min < low or self.max > high:
            raise ValueError(f"must lie within {low} to {high} ({why})")


class AudioLimits(Section):
    """What a usable recording is; shared by both tracks' scans."""

    min_seconds: Positive  # a shorter recording is set aside
    max_seconds: Annotated[float, Field(gt=0, le=36_000)]  # a longer recording is set aside
    silence_dbfs: Annotated[float, Field(ge=-200, le=0)]  # RMS below this is silence
    max_clipped_share: Share  # of the samples, at full scale
    max_quarantined: Share  # share of the listed files; above it the stage stops

    @model_validator(mode="after")
    def _lengths(self) -> Self:
        if self.min_seconds >= self.max_seconds:
            raise ValueError(f"min_seconds {self.min_seconds:g} is not below max_seconds {self.max_seconds:g}")
        return self


class NightScan(AudioLimits):
    """night.scan: which files are clips, which clips share a source, and which classes are no detection."""

    group_pattern: Pattern  # one capture group = the source, searched in the file name
    recursive: bool  # also folders within a class folder
    background: Labels  # classes that are trained and never reported
    near_duplicates: NearDuplicates  # group: their sources never part


class NightCut(Section):
    """night.cut: which annotations of data/field become clips, and how."""

    padding_s: Annotated[float, Field(ge=0, le=60)]  # kept on either side of an annotation
    min_overlap_s: Positive  # of a window and an annotation; shorter annotations are too short
    label_column: Annotated[str, Field(min_length=1)] | None  # null: the first of the usual names
    label_map: dict[str, str]  # label in the tables: class; others stay as they are
    labels: Labels  # classes that are cut; empty: all
    background_clips: Annotated[int, Field(ge=0, le=1_000_000)]  # drawn where exhaustive recordings have no annotation
    seed: Seed  # of the background clips
    max_quarantined: Share  # share of the recordings; above it the stage stops


class NightAugment(Section):
    """night.augment: the balanced pool."""

    seed: Seed  # of every copy
    target_samples: Annotated[int, Field(ge=1, le=1_000_000)]  # pool files a class
    max_copies: Annotated[int, Field(ge=1, le=10_000)]  # augmented copies of one original
    background_target: Annotated[int, Field(ge=1, le=1_000_000)] | None  # of a background class; null: as the others
    cap_majority: bool  # false keeps every original of a class above the target
    sample_rate_hz: Annotated[int, Field(ge=4_000, le=500_000)]  # the pool's
    pack_above: Annotated[int, Field(ge=0, le=1_000_000_000)]  # files of the pool; with more of them, one tar a class
    transforms: Annotated[list[Transform], Field(min_length=1)]  # kinds of copies, in turn
    stretch_rate: Range  # of time, drawn evenly; within 0.8 to 2
    noise_snr_db: Range  # signal above noise, drawn evenly; within -20 to 40
    gain_db: Range  # drawn evenly; within -60 to 24
    pitch_semitones: Range  # drawn evenly; within -12 to 12

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        _are_unique(self.transforms, "transforms")
        self.stretch_rate.within(0.8, 2.0, "outside it the copy is not the animal any more")
        self.noise_snr_db.within(-20, 40, "signal-to-noise ratio in dB; above it nobody hears the noise")
        self.gain_db.within(-60, 24, "gain in dB")
        self.pitch_semitones.within(-12, 12, "semitones")
        for name in sorted({name for transform in self.transforms for name in _INTERVALS[transform]}):
            if not self.audible(name):
                centre, half = NEUTRAL[name]
                raise ValueError(
                    f"{name} leaves clips as they are; widen it beyond {centre - half:g} to {centre + half:g}"
                )
        return self

    def audible(self, name: str) -> list[tuple[float, float]]:
        """An interval, such as gain_db, without its neutral middle: what its values are drawn from."""
        interval: Range = getattr(self, name)
        centre, half = NEUTRAL[name]
        sides = ((interval.min, min(interval.max, centre - half)), (max(interval.min, centre + half), interval.max))
        return [(low, high) for low, high in sides if low <= high]


class NightIndex(Section):
    """night.index: one split, or folds."""

    seed: Seed  # of the splits
    train: Share  # aimed-at share of the files; the three sum to 1
    val: Share  # validation
    test: Share  # scored once, at the end
    n_folds: Annotated[int, Field(ge=1, le=100)]  # 1 = a single split
    fold_pattern: Pattern  # one capture group = the preset fold, searched in the original file's name
    min_sources: Annotated[int, Field(ge=1, le=1_000)]  # classes with fewer are left out; 1 leaves out none
    validation: Literal["next_fold", "none"]  # with folds: where the validation set comes from

    @model_validator(mode="after")
    def _ratios(self) -> Self:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train + val + test must be 1, is {total:.6g}")
        if self.n_folds == 1 and self.fold_pattern is None and min(self.train, self.val, self.test) <= 0:
            raise ValueError("train, val and test must each be above 0")
        if self.n_folds == 2 and self.validation == "next_fold":
            raise ValueError("n_folds: 2 leaves no training fold with validation: next_fold; use validation: none")
        return self


class MelSettings(Section):
    """Short-time Fourier transform and mel filter bank, as in librosa.feature.melspectrogram."""

    n_fft: Annotated[int, Field(ge=16, le=65_536)]  # samples of one Fourier transform
    hop_length: Annotated[int, Field(ge=1)]  # samples from one frame to the next; n_fft or less
    n_mels: Annotated[int, Field(ge=8, le=512)]  # mel bands
    fmin_hz: Annotated[float, Field(ge=0)]  # lower end of the lowest band
    fmax_hz: Positive  # upper end of the highest band; half the sample rate or less
    clip_seconds: Annotated[float, Field(gt=0, le=600)]  # cut or zero-padded to this

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if broken := [text for is_broken, text in self.relations() if is_broken]:
            raise ValueError("; ".join(broken))
        return self

    def relations(self) -> list[tuple[bool, str]]:
        """What must hold between the values: whether it is broken, and how to say so."""
        return [
            (self.hop_length > self.n_fft, f"hop_length {self.hop_length} is above n_fft {self.n_fft}"),
            (self.fmin_hz >= self.fmax_hz, f"fmin_hz {self.fmin_hz:g} is not below fmax_hz {self.fmax_hz:g}"),
        ]


class LogMels(MelSettings):
    """Log-mel arrays as a night model hears them; dB re power 1.0, floor top_db under the clip's peak."""

    top_db: Annotated[float, Field(gt=0, le=200)]  # the floor lies so far below the clip's peak


class NightMels(LogMels):
    """night.mels: the arrays, and which part of a clip longer than clip_seconds they show."""

    window: Literal["start", "loudest"]  # of clips longer than clip_seconds; loudest: where the sound stands out most


class Pretrained(Section):
    """A local weights file; nothing is ever downloaded."""

    file: str  # a path in the checkout
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]  # 64 hexadecimal digits; another file is refused


class ModelMel(Section):
    """The log-mel that a pretrained network was trained on, see `evensong.audio.model_mel`; lengths in samples."""

    n_fft: Annotated[int, Field(ge=16, le=65_536)]  # samples of a transform; the window is padded to them
    win_length: Annotated[int, Field(ge=16, le=65_536)]  # samples of a frame
    hop_length: Annotated[int, Field(ge=1)]  # samples from one frame to the next
    n_mels: Annotated[int, Field(ge=8, le=512)]  # bands
    fmin_hz: Annotated[float, Field(ge=0)]  # lower end of the lowest band
    fmax_hz: Positive  # upper end of the highest band
    preemphasis: Annotated[float, Field(ge=0, lt=1)]  # 0: none
    centred: bool  # frames around multiples of the hop, the sound mirrored at its ends; false: frames inside the sound
    spectrum: Literal["magnitude", "power"]  # what the bands sum
    log_offset: Positive  # ln(x + log_offset)
    mean: Annotated[float, Field(allow_inf_nan=False)]  # the logarithm less this,
    std: Positive  # divided by this
    axes: Literal["frames_mels", "mels_frames"]  # the last two of the graph's input

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.hop_length <= self.win_length <= self.n_fft:
            raise ValueError("hop_length, win_length and n_fft must not fall in this order")
        if self.fmin_hz >= self.fmax_hz:
            raise ValueError(f"fmin_hz {self.fmin_hz:g} is not below fmax_hz {self.fmax_hz:g}")
        return self


class Embedding(Pretrained):
    """A network that turns sound into vectors, as an ONNX file, and its papers; nothing is ever downloaded."""

    sample_rate_hz: Annotated[int, Field(ge=1_000, le=500_000)]  # what the model hears
    window_seconds: Annotated[float, Field(gt=0, le=600)]  # one call's sound; what is shorter is zero-padded
    hop_seconds: Annotated[float, Field(gt=0, le=600)]  # from one window to the next; window_seconds or less
    scaling: Literal["peak", "fixed"]  # peak: every window, less its mean, to this level; fixed: samples times it
    level: Positive  # the peak, or the factor, 1 for full scale +/-1
    mel: ModelMel | None  # what the graph takes of a window; null: its samples
    output: Annotated[str, Field(min_length=1)]  # any tensor of the graph whose last axis is the vector
    pooling: Literal["mean", "max", "both"]  # over windows, and the frames that a window's output has
    copies: bool  # the night pool's copies too, or originals alone
    upsample: bool  # recordings of a lower rate are resampled, or refused
    licence: Annotated[str, Field(min_length=1)]  # as you declare it
    source: Annotated[str, Field(min_length=1)]  # as you declare it
    training_data: Annotated[
        tuple[Name, ...], Field(min_length=1, strict=False)
    ]  # names of data sets, as you declare it

    @model_validator(mode="after")
    def _gapless(self) -> Self:
        if self.hop_seconds > self.window_seconds:
            raise ValueError(f"hop_seconds {self.hop_seconds:g} is above window_seconds {self.window_seconds:g}")
        return self

    @model_validator(mode="after")
    def _audible(self) -> Self:
        if self.mel and self.mel.fmax_hz > self.sample_rate_hz / 2:
            raise ValueError(f"mel.fmax_hz {self.mel.fmax_hz:g} is above half of sample_rate_hz {self.sample_rate_hz}")
        if self.mel and self.mel.win_length >= self.window_seconds * self.sample_rate_hz:
            raise ValueError(f"mel.win_length {self.mel.win_length} is no shorter than window_seconds")
        return self


def _free_name(name: str) -> str:
    """The name of an arm, a stage and a folder."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,29}", name) or name.endswith("_fused"):
        raise ValueError("a name has up to 30 of a-z, 0-9 and _, begins with a letter and does not end in _fused")
    if name in _TAKEN:
        raise ValueError(f"the names {', '.join(sorted(_TAKEN))} are taken")
    return name


_TAKEN = {"network", "baseline", "soft_mean", "majority", "prior_corrected", "validation_weighted"}
_TAKEN |= {"best_single", "control", "control_best_single"}


class Embed(Section):
    """night.embed and voice.embed: one arm a model, by name; what is fitted on their vectors; the user's data."""

    head: HeadChoice  # fitted on the vectors; best: the kind that wins on validation
    data: Names  # names of your own data sets; one that a model was trained on is warned of
    models: dict[Annotated[str, AfterValidator(_free_name)], Embedding]  # by name; each is one more arm


class TrackTrain(Section):
    """What only one track's trainer uses."""

    model: Annotated[str, Field(min_length=1)]  # a timm model name
    batch_size: Annotated[int, Field(ge=1, le=65_536)]  # items a batch
    pretrained: Pretrained | None  # weights at the start; null: random
    folds: Folds  # those that are trained


def _folds_exist(track: TrackTrain, n_folds: int) -> None:
    if track.folds != "all" and max(track.folds) >= n_folds:
        raise ValueError(f"train.folds names fold {max(track.folds)}; folds are 0 to {n_folds - 1}")


class Evaluate(Section):
    """Bootstrap intervals."""

    seed: Seed  # of the bootstrap
    n_bootstrap: Annotated[int, Field(ge=100, le=1_000_000)]  # draws
    confidence: Annotated[float, Field(ge=0.5, le=0.999)]  # of every interval


DetectListener = Annotated[str, Field(pattern=r"^(train|arms/[a-z][a-z0-9_]{0,29})$")]


class NightDetect(Section):
    """night.detect: how detections are scored over field recordings, and how thresholds are chosen."""

    listener: DetectListener  # train: the network; arms/NAME: the arm of an embedding
    hop_seconds: Positive | None  # distance of two windows; null: half a window, in whole frames of the mels
    min_overlap: Annotated[float, Field(gt=0, le=1)]  # share of an event that finds it, and of a detection it explains
    rule: Literal["f1", "precision"]  # a class's threshold: the best F1, or the lowest that reaches wanted_precision
    wanted_precision: Annotated[float, Field(gt=0, le=1)]  # with rule: precision
    min_events: Annotated[int, Field(ge=1)]  # in validation; a class with fewer gets default_threshold
    default_threshold: Annotated[float, Field(ge=0.01, le=0.99)]  # in hundredths

    @field_validator("default_threshold")
    @classmethod
    def _in_hundredths(cls, value: float) -> float:
        if value != round(value, 2):
            raise ValueError("thresholds are hundredths, such as 0.35")
        return value


class VoiceScan(AudioLimits):
    """voice.scan: limits of a recording, which are taken, and whether ready-made images may differ in size."""

    columns: Literal["all"] | Annotated[list[str], Field(min_length=1), AfterValidator(_unique)]  # column_ids to take
    image_sizes: Literal["any", "one"]  # one: another size than most is Q_SIZE
    near_duplicates: NearDuplicates  # group: their patients never part


class VoiceLabels(Section):
    """voice.labels: the survey's column of the diagnosis, and what its values mean."""

    column: Annotated[str, Field(min_length=1)]  # of the diagnosis, in the survey
    values: dict[str | int | float | bool, Label | None] | None  # null: true/false, yes/no, t/f, y/n, 1/0

    @model_validator(mode="after")
    def _both_classes(self) -> Self:
        if self.values is not None:
            _are_unique([str(value).strip().casefold() for value in self.values], "values, in upper or lower case,")
            if not {0, 1} <= set(self.values.values()):
                raise ValueError("values must name at least one value for 0 and one for 1, as {PD: 1, HC: 0}")
        return self


class VoiceMels(MelSettings):
    """voice.mels: one 8-bit mel image a recording, low frequencies at the bottom."""

    sample_rate_hz: Annotated[int, Field(ge=1_000, le=500_000)]  # recordings are brought to it
    width_px: Annotated[int, Field(ge=8, le=4_096)]  # the height is n_mels
    min_db: Decibel  # maps to 0
    max_db: Decibel  # maps to 255
    reference: Literal["peak", "full_scale"]  # dB re the clip's peak, or re power 1.0
    format: Literal["jpg", "png"]  # jpg loses a little, png nothing
    jpeg_quality: Annotated[int, Field(ge=1, le=100)]  # with format: jpg

    def relations(self) -> list[tuple[bool, str]]:
        """Also between the values of the voice track."""
        rate_hz = self.sample_rate_hz
        above = f"fmax_hz {self.fmax_hz:g} is above half of sample_rate_hz {rate_hz}: {rate_hz / 2:g} at most"
        return [
            *super().relations(),
            (self.min_db >= self.max_db, f"min_db {self.min_db:g} is not below max_db {self.max_db:g}"),
            (self.fmax_hz > rate_hz / 2, above),
        ]


class VoiceSplits(Section):
    """voice.splits: patient folds, made when no split CSVs are given."""

    seed: Seed  # of folds and training lists
    n_folds: Annotated[int, Field(ge=3, le=100)]  # patient folds


class VoiceTables(Section):
    """voice.tables: how much of one patient is trained on."""

    max_recordings: Annotated[int, Field(ge=1)] | None  # of a patient in a training list; null: all of them


class SpecAugment(Section):
    """Masks drawn per training item and epoch; 0 switches a kind off."""

    n_freq_masks: Annotated[int, Field(ge=0, le=10)]  # of bands
    max_freq_share: Share  # widest mask as a share of the mel bands
    n_time_masks: Annotated[int, Field(ge=0, le=10)]  # of frames
    max_time_share: Share  # widest mask as a share of the frames
    max_shift_share: Share  # circular time shift of up to this share of the frames


class Train(Section):
    """train: what both trainers share."""

    epochs: Annotated[int, Field(ge=1, le=100_000)]  # passes over the training items
    learning_rate: Positive  # highest, of AdamW
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)]  # of AdamW
    warmup_epochs: Annotated[float, Field(ge=0, allow_inf_nan=False)]  # rising to learning_rate
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]  # share of the target spread over all classes
    mixup_alpha: Annotated[float, Field(ge=0, le=100)]  # of the beta distribution that mixes two items; 0: none
    spec_augment: SpecAugment
    ema_decay: Annotated[float, Field(ge=0, lt=1)]  # 0 keeps the last step's weights
    test_shifts: Annotated[int, Field(ge=1, le=64)]  # circular time shifts whose probabilities a prediction averages
    select: Literal["best", "last"]  # best: the epoch of the best validation macro-F1 of originals; last: the last
    device: Literal["cpu", "cuda"]  # equal bytes are promised on the CPU
    threads: Annotated[int, Field(ge=1, le=256)]  # a fold
    accumulate_batches: Annotated[int, Field(ge=1, le=1_024)]  # batches a step of the optimiser
    precision: Literal["float32", "bfloat16"]  # of the arithmetic
    instruction_set: Literal["portable", "native"]  # portable: equal bytes on all x86-64 CPUs with AVX2; native: fast
    seed: Seed  # of weights, order and masks

    @model_validator(mode="after")
    def _portable(self) -> Self:
        if self.instruction_set == "portable" and self.precision == "bfloat16" and self.device == "cpu":
            raise ValueError("precision bfloat16 differs between CPUs; set instruction_set to native")
        return self


class Runtime(Section):
    """runtime: where tasks are computed, and how many at a time; no result depends on it."""

    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=1_024)]  # processes
    backend: Literal["local", "ray"]  # this machine's cores, or the Ray cluster at RAY_ADDRESS
    gpus_a_fold: Annotated[float, Field(ge=0, le=8)]  # on a cluster: what a training takes of a GPU


class Night(Section):
    """Every night section, and where the training clips come from."""

    sources: Sources  # where training clips come from: data/night, cut from data/field (field), or both
    cut: NightCut
    scan: NightScan
    augment: NightAugment
    index: NightIndex
    mels: NightMels
    embed: Embed
    train: TrackTrain
    evaluate: Evaluate
    detect: NightDetect

    @model_validator(mode="after")
    def _nyquist(self) -> Self:
        rate_hz = self.augment.sample_rate_hz
        if self.mels.fmax_hz > rate_hz / 2:
            raise ValueError(f"mels.fmax_hz {self.mels.fmax_hz} is above half of augment.sample_rate_hz {rate_hz}")
        return self

    @model_validator(mode="after")
    def _ears(self) -> Self:
        if self.detect.listener != "train" and self.detect.listener.removeprefix("arms/") not in self.embed.models:
            raise ValueError(
                f"detect.listener: {self.detect.listener} is neither train nor arms/ and a name of embed.models"
            )
        return self

    @model_validator(mode="after")
    def _folds(self) -> Self:
        if self.index.fold_pattern is None:
            _folds_exist(self.train, self.index.n_folds)
        return self


class Voice(Section):
    """Every voice section, and the axes of its matrix stages."""

    subdbs: SubDbs  # which of the nine sub-databases
    control_seeds: Seeds  # one control model each, at the natural share of classes; empty: none
    confounders: Confounders  # columns of the survey; null: age, sex, gender and device where they are there
    labels: VoiceLabels
    scan: VoiceScan
    mels: VoiceMels
    splits: VoiceSplits
    tables: VoiceTables
    embed: Embed
    train: TrackTrain
    evaluate: Evaluate

    @model_validator(mode="after")
    def _folds(self) -> Self:
        _folds_exist(self.train, self.splits.n_folds)
        return self


class Params(Section):
    """The whole of params.yaml."""

    night: Night
    voice: Voice
    train: Train
    runtime: Runtime
