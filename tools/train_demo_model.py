"""
Trains the demo's CLIP on captions of the demo's scenes and measures it; writes `models/demo/`.

The scenes themselves are `imagesearch.demo.scenes`; running a CLIP in the product is
`inference_service`. Usage: `python tools/train_demo_model.py` (or `--eval-only`).
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import math
import multiprocessing
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, trainers
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn
from torch.nn import functional
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    CLIPConfig,
    CLIPModel,
    CLIPTokenizer,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from imagesearch.demo import drawing, scenes
from imagesearch.demo.scenes import Scene

FOLDER: Final = Path(__file__).resolve().parent.parent / "models" / "demo"
IMAGE_SIZE: Final = 64
PATCH_SIZE: Final = 8
IMAGE_WIDTH: Final = 144
TEXT_WIDTH: Final = 128
EMBEDDING_DIM: Final = 128
GRID: Final = IMAGE_SIZE // PATCH_SIZE
HELD_OUT_EVERY: Final = 8
MAX_LOGIT_SCALE: Final = 100
CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Recipe:
    """
    The settings of a training.

    The learning rate warms up and follows a cosine of `horizon` steps; over the last `cooldown`
    of the `steps` that are run it also falls linearly to zero.
    """

    scenes: int = 31_000
    steps: int = 1600
    horizon: int = 2200
    cooldown: int = 500
    batch: int = 256
    rate: float = 1.5e-3
    seed: int = 1


# --- attributes as bits ------------------------------------------------------------------------

ATTRIBUTES: Final[dict[str, tuple[Any, ...]]] = {
    "shape": scenes.SHAPES,
    "colour": tuple(scenes.COLOURS),
    "count": tuple(scenes.COUNTS),
    "size": scenes.SIZES,
    "position": (*scenes.POSITIONS, "spread"),
    "background": scenes.BACKGROUNDS,
}
BITS: Final = [(name, value) for name, values in ATTRIBUTES.items() for value in values]
WIDTHS: Final = [len(values) for values in ATTRIBUTES.values()]

Wanted = dict[str, tuple[Any, ...]]
"""What a caption asks for: the allowed values of some attributes; the others are free."""


@dataclass(frozen=True)
class Caption:
    """Words, and which scenes they are true of."""

    text: str
    wanted: Wanted

    def bits(self) -> list[bool]:
        """Return one flag per attribute value: whether it is allowed."""
        return [name not in self.wanted or value in self.wanted[name] for name, value in BITS]


def shown_bits(scene: Scene) -> list[bool]:
    """Return one flag per attribute value: does *scene* show it? Exactly one per attribute."""
    return [getattr(scene, name) == value for name, value in BITS]


def matches(wanted: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """Return bool (T, B): caption t is true of scene b, from float bits (T, n) and (B, n)."""
    return wanted @ shown.T >= len(ATTRIBUTES) - 0.5


# --- captions ----------------------------------------------------------------------------------

NOUNS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    shape: ((shape, plural),) * 4 for shape, plural in scenes.PLURALS.items()
}
NOUNS["circle"] += (("disc", "discs"), ("ball", "balls"), ("dot", "dots"))
NOUNS["square"] += (("box", "boxes"), ("cube", "cubes"))
NOUNS["diamond"] += (("rhombus", "rhombuses"), ("gem", "gems"))
NOUNS["moon"] += (("crescent", "crescents"), ("crescent moon", "crescent moons"))
NOUNS["flower"] += (("blossom", "blossoms"), ("daisy", "daisies"))
NOUNS["house"] += (("home", "homes"), ("cottage", "cottages"))
NOUNS["fish"] += (("fish", "fishes"),)
THINGS: Final = (("thing", "things"), ("shape", "shapes"), ("object", "objects"))
COLOUR_WORDS: Final[dict[str, tuple[str, ...]]] = {colour: (colour,) for colour in scenes.COLOURS}
COLOUR_WORDS["purple"] = ("purple", "purple", "violet")
SIZE_WORDS: Final = {"small": ("small", "tiny", "little"), "big": ("big", "large", "huge")}
COUNT_WORDS: Final = {
    1: ("a", "a", "one", "a single", "1"),
    2: ("two", "two", "a pair of", "2"),
    3: ("three", "three", "3"),
    5: ("five", "five", "many", "5"),
}
PLACE_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "night": ("in the night sky", "at night", "in a starry night", "in the dark sky"),
    "sea": ("over the sea", "on the sea", "at sea", "above the water", "by the ocean"),
    "meadow": ("in a meadow", "on the grass", "in a green meadow", "in a field"),
    "sunset": ("at sunset", "in the evening", "in front of a sunset", "at dusk"),
    "snow": ("in the snow", "in winter", "on snow", "in a snowy landscape"),
    "desert": ("in the desert", "on the sand", "in a sandy desert", "among dunes"),
}
PLACE_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "night": ("night", "the night sky", "a starry night"),
    "sea": ("sea", "the sea", "water", "the ocean"),
    "meadow": ("meadow", "a meadow", "grass", "a field"),
    "sunset": ("sunset", "a sunset", "evening", "dusk"),
    "snow": ("snow", "a snowy landscape", "winter"),
    "desert": ("desert", "the desert", "sand", "dunes"),
}
POSITION_WORDS: Final = {
    "centre": ("in the middle", "in the centre", "in the center"),
    "left": ("on the left", "to the left", "on the left side", "left"),
    "right": ("on the right", "to the right", "on the right side", "right"),
    "top": ("at the top", "on top", "at the upper edge"),
    "bottom": ("at the bottom", "below", "at the lower edge"),
}
FRAMES: Final = ("{}",) * 5 + ("a photo of {}", "a picture of {}", "an image of {}", "show me {}")
PLURAL_COUNTS: Final = (2, 3, 5)


def caption(scene: Scene, named: Sequence[str], rng: random.Random) -> Caption:
    """Word the attributes in *named* (names of `ATTRIBUTES`) of *scene*, in free phrasing."""
    wanted: Wanted = {name: (getattr(scene, name),) for name in named}
    subject = _subject(scene, wanted, rng)
    place = _place(scene, wanted, bare=not subject, rng=rng)
    where = _where(scene, wanted, rng)
    if where and not subject and not place:
        subject = rng.choice(("something", "a thing", "an object"))
    parts = [part for part in (subject, place, where) if part]
    if len(parts) > 1 and rng.random() < 0.2:
        rng.shuffle(parts)
        text = ", ".join(parts)
    else:
        text = rng.choice((" ", " ", ", ")).join(parts[:2]) + "".join(
            rng.choice((" ", ", ")) + part for part in parts[2:]
        )
    return Caption(rng.choice(FRAMES).format(text), wanted)


def _subject(scene: Scene, wanted: Wanted, rng: random.Random) -> str:
    """Return the noun phrase; adds to *wanted* what its grammatical number says."""
    adjectives = _adjectives(scene, wanted, rng)
    if "shape" not in wanted and "count" not in wanted:
        return _shapeless(adjectives, rng)
    nouns = NOUNS[scene.shape] if "shape" in wanted else THINGS
    one, several = rng.choice(nouns)
    if "count" in wanted:
        counted = one if scene.count == 1 else several
        words = " ".join([*adjectives, counted])
        number = rng.choice(COUNT_WORDS[scene.count])
        return scenes.article(words) if number == "a" else f"{number} {words}"
    if scene.count > 1 and rng.random() < 0.5:
        wanted["count"] = PLURAL_COUNTS
        return " ".join([*adjectives, several])
    return " ".join([*adjectives, one])


def _adjectives(scene: Scene, wanted: Wanted, rng: random.Random) -> list[str]:
    size = [rng.choice(SIZE_WORDS[scene.size])] if "size" in wanted else []
    colour = [rng.choice(COLOUR_WORDS[scene.colour])] if "colour" in wanted else []
    return [*colour, *size] if rng.random() < 0.1 else [*size, *colour]


def _shapeless(adjectives: list[str], rng: random.Random) -> str:
    """Return words such as "something red" for adjectives that stand without a noun."""
    if not adjectives:
        return ""
    words = " ".join(adjectives)
    return rng.choice(
        (words, f"something {words}", f"something {words}", f"anything {words}", f"{words} thing")
    )


def _place(scene: Scene, wanted: Wanted, *, bare: bool, rng: random.Random) -> str:
    if "background" not in wanted:
        return ""
    name = scene.background
    if name in scenes.SETTINGS:
        return rng.choice(PLACE_NAMES[name] + PLACE_WORDS[name] if bare else PLACE_WORDS[name])
    colour = rng.choice(COLOUR_WORDS[name])
    behind = f"{colour} background"
    full = scenes.article(behind)
    if bare:
        return rng.choice((behind, full, f"on {full}"))
    return rng.choice(
        (f"on {full}", f"on {full}", f"with {full}", f"against {full}", f"on {colour}", behind)
    )


def _where(scene: Scene, wanted: Wanted, rng: random.Random) -> str:
    words = POSITION_WORDS.get(scene.position)
    return rng.choice(words) if words and "position" in wanted else ""


def full_caption(scene: Scene, rng: random.Random) -> Caption:
    """Word every attribute, half of the time in the scene's own standard description."""
    if rng.random() < 0.5:
        return Caption(scene.description, {name: (getattr(scene, name),) for name in ATTRIBUTES})
    return caption(scene, tuple(ATTRIBUTES), rng)


def partial_caption(scene: Scene, rng: random.Random) -> Caption:
    """Word one to four attributes, few more often than many."""
    names = [name for name in ATTRIBUTES if name != "position" or scene.count == 1]
    chosen = rng.sample(names, rng.choice((1, 1, 1, 2, 2, 3, 3, 4)))
    return caption(scene, chosen, rng)


# --- data --------------------------------------------------------------------------------------


def is_held_out(scene_id: int) -> bool:
    """Say whether what this scene shows is kept from training, in every drawing of it."""
    return scene_id % scenes.SCENE_COUNT % HELD_OUT_EVERY == 0


def small_pixels(scene_id: int) -> np.ndarray[Any, Any]:
    """Return uint8 (64, 64, 3): JPEG, shortest edge to 64 by bicubic, centre crop, as CLIP does."""
    picture = Image.open(io.BytesIO(drawing.jpeg(scenes.scene(scene_id))))
    width = round(picture.width * IMAGE_SIZE / picture.height)
    small = picture.resize((width, IMAGE_SIZE), Image.Resampling.BICUBIC)
    left = (width - IMAGE_SIZE) // 2
    return np.asarray(small)[:, left : left + IMAGE_SIZE]


@dataclass(frozen=True)
class Bank:
    """The training scenes and their small pictures, uint8 (N, 64, 64, 3)."""

    scenes: list[Scene]
    pixels: torch.Tensor
    rows: dict[tuple[Any, ...], list[int]]


def load_bank(work: Path, size: int) -> Bank:
    """Return the first *size* training scenes, rendered once and kept in *work*."""
    ids = list(itertools.islice((i for i in itertools.count() if not is_held_out(i)), size))
    file = work / f"bank-{size}.npy"
    if not file.exists():
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            np.save(file, np.stack(pool.map(small_pixels, ids, chunksize=200)))
    shown = [scenes.scene(i) for i in ids]
    rows: dict[tuple[Any, ...], list[int]] = {}
    for row, scene in enumerate(shown):
        rows.setdefault(scene.attributes, []).append(row)
    return Bank(shown, torch.from_numpy(np.load(file)), rows)


def neighbour(bank: Bank, row: int, rng: random.Random) -> int:
    """Return the row of a scene that differs in one attribute: a hard negative for *row*."""
    attributes = bank.scenes[row].attributes
    for _ in range(20):
        place = rng.randrange(len(attributes))
        value = rng.choice(list(ATTRIBUTES.values())[place])
        other = (*attributes[:place], value, *attributes[place + 1 :])
        if other != attributes and other in bank.rows:
            return rng.choice(bank.rows[other])
    return rng.randrange(len(bank.scenes))


def batch_rows(bank: Bank, size: int, rng: random.Random) -> list[int]:
    """Return *size* rows: half at random, half neighbours of those."""
    anchors = [rng.randrange(len(bank.scenes)) for _ in range(size // 2)]
    return [*anchors, *(neighbour(bank, row, rng) for row in anchors)]


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """Return float (B, 3, 64, 64) as `CLIPImageProcessor` scales it, from uint8 (B, 64, 64, 3)."""
    scaled = pixels.permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    return (scaled - mean) / std


def covered_patches(scene: Scene) -> list[bool]:
    """Return, for each of the 64 patches row by row, whether its middle lies on a shape's disc."""
    middles = [(2 * i + 1) / GRID - 1 for i in range(GRID)]
    discs = drawing.discs(scene)
    return [
        any(math.hypot(x - dx, y - dy) < radius for dx, dy, radius in discs)
        for y in middles
        for x in middles
    ]


# --- model -------------------------------------------------------------------------------------


def train_tokenizer(seed: int) -> CLIPTokenizer:
    """Train a byte-level BPE on captions; every byte is in its vocabulary, so any text encodes."""
    rng = random.Random(seed)
    every = [scenes.scene(i) for i in range(0, scenes.SCENE_COUNT, 3)]
    texts = [word(scene, rng).text for scene in every for word in (full_caption, partial_caption)]
    like_clip = CLIPTokenizer().backend_tokenizer
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer, learner.pre_tokenizer = like_clip.normalizer, like_clip.pre_tokenizer
    letters = sorted(ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=2000, initial_alphabet=letters, end_of_word_suffix="</w>", show_progress=False
    )
    learner.train_from_iterator(texts, trainer)
    merges: Any = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    tokens = [*letters, *(letter + "</w>" for letter in letters), *map("".join, merges)]
    specials = ["<|startoftext|>", "<|endoftext|>"]
    vocab = {token: i for i, token in enumerate(dict.fromkeys([*tokens, *specials]))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=77)


def new_model(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Return an untrained CLIP of about 1.7 million parameters."""
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 384,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": 77,
        "pad_token_id": tokenizer.pad_token_id,
        "projection_dim": EMBEDDING_DIM,
        "hidden_act": "gelu",
        **ends,
    }
    vision = {
        "projection_dim": EMBEDDING_DIM,
        "hidden_size": IMAGE_WIDTH,
        "intermediate_size": 432,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": IMAGE_SIZE,
        "patch_size": PATCH_SIZE,
        "hidden_act": "gelu",
    }
    model = CLIPModel(
        CLIPConfig(text_config=text, vision_config=vision, projection_dim=EMBEDDING_DIM)
    )
    model.set_attn_implementation("eager")  # faster to train than SDPA at this size on a CPU
    return model


class Heads(nn.Module):
    """
    Helpers of the training that are dropped after it.

    They read the attributes off the pooled image, off the pooled text, and shape and colour off
    every patch that a shape covers: labels that cost nothing and teach faster than pairs alone.
    """

    def __init__(self, image_width: int, text_width: int) -> None:
        super().__init__()
        self.image = nn.Linear(image_width, len(BITS))
        self.text = nn.Linear(text_width, len(BITS))
        self.patch = nn.Sequential(
            nn.LayerNorm(image_width), nn.Linear(image_width, WIDTHS[0] + 1 + WIDTHS[1] + 1)
        )


@dataclass(frozen=True)
class Batch:
    """B scenes and T captions as tensors; the first B captions are the full ones, in order."""

    pixels: torch.Tensor  # float (B, 3, 64, 64)
    shown: torch.Tensor  # float (B, bits)
    patches: torch.Tensor  # bool (B, 64)
    tokens: torch.Tensor  # int (T, length)
    wanted: torch.Tensor  # float (T, bits)


def make_batch(bank: Bank, tokenizer: CLIPTokenizer, size: int, rng: random.Random) -> Batch:
    """Return *size* scenes with a full caption of each and a partial one of every other."""
    rows = batch_rows(bank, size, rng)
    chosen = [bank.scenes[row] for row in rows]
    captions = [full_caption(scene, rng) for scene in chosen]
    captions += [partial_caption(scene, rng) for scene in rng.sample(chosen, size // 2)]
    encoded = tokenizer([c.text for c in captions], padding=True, return_tensors="pt")
    return Batch(
        pixels=normalised(bank.pixels[rows]),
        shown=torch.tensor([shown_bits(s) for s in chosen]).float(),
        patches=torch.tensor([covered_patches(s) for s in chosen]),
        tokens=encoded["input_ids"],
        wanted=torch.tensor([c.bits() for c in captions]).float(),
    )


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Return the rows of *vectors* scaled to unit L2 norm."""
    return functional.normalize(vectors, dim=1)


def shared(targets: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of *logits* with each row's targets sharing its mass equally."""
    weights = targets.float() / targets.sum(1, keepdim=True)
    return -(weights * functional.log_softmax(logits, dim=1)).sum(1).mean()


def losses(model: CLIPModel, heads: Heads, batch: Batch) -> dict[str, torch.Tensor]:
    """Return the parts of the loss, each a scalar."""
    with torch.autocast("cpu", torch.bfloat16):  # twice as fast here; the text tower is not
        image = model.vision_model(pixel_values=batch.pixels)
    text = model.text_model(input_ids=batch.tokens)
    images = unit(model.visual_projection(image.pooler_output.float()))  # (B, d)
    texts = unit(model.text_projection(text.pooler_output))  # (T, d)
    logits = model.logit_scale.exp() * texts @ images.T  # (T, B)
    true = matches(batch.wanted, batch.shown)  # (T, B)
    full = len(batch.pixels)
    return {
        "text": shared(true, logits),
        "image": shared(true[:full].T, logits[:full].T),
        "image_bits": attribute_loss(heads.image(image.pooler_output.float()), batch.shown),
        "text_bits": functional.binary_cross_entropy_with_logits(
            heads.text(text.pooler_output), batch.wanted
        ),
        "patches": patch_loss(heads.patch(image.last_hidden_state[:, 1:].float()), batch),
    }


def attribute_loss(logits: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy over the attributes, from (B, bits) twice."""
    pairs = zip(torch.split(logits, WIDTHS, 1), torch.split(shown, WIDTHS, 1), strict=True)
    parts = [functional.cross_entropy(part, bits.argmax(1)) for part, bits in pairs]
    return torch.stack(parts).mean()


def patch_loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the cross-entropy of shape and colour per patch, "none" where no shape is."""
    shape, colour, *_ = (
        bits.argmax(1, keepdim=True) for bits in torch.split(batch.shown, WIDTHS, 1)
    )
    shape_logits, colour_logits = torch.split(logits, [WIDTHS[0] + 1, WIDTHS[1] + 1], dim=2)
    shapes = torch.where(batch.patches, shape, WIDTHS[0])  # (B, 64)
    colours = torch.where(batch.patches, colour, WIDTHS[1])  # (B, 64)
    of_shapes = functional.cross_entropy(shape_logits.flatten(0, 1), shapes.flatten())
    of_colours = functional.cross_entropy(colour_logits.flatten(0, 1), colours.flatten())
    return of_shapes + of_colours


# --- training ----------------------------------------------------------------------------------


class Trainer:
    """
    The state of a training, kept in *work* so that a run that was stopped goes on where it was.

    Batch number i follows from the seed and i alone: stopping changes nothing about the result.
    """

    def __init__(self, recipe: Recipe, work: Path) -> None:
        started = time.monotonic()
        self.recipe, self.checkpoint = recipe, work / "checkpoint.pt"
        self.bank = load_bank(work, recipe.scenes)
        torch.manual_seed(recipe.seed)
        self.tokenizer = train_tokenizer(recipe.seed)
        self.model = new_model(self.tokenizer)
        self.heads = Heads(IMAGE_WIDTH, TEXT_WIDTH)
        self.parameters = [*self.model.parameters(), *self.heads.parameters()]
        self.optimiser = torch.optim.AdamW(
            self.parameters, lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.05
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, recipe.rate, total_steps=recipe.horizon, pct_start=0.06
        )
        self.done, self.seconds = 0, time.monotonic() - started
        if self.checkpoint.exists():
            self._load()

    def run(self) -> None:
        """Train to the recipe's last step."""
        for step in range(self.done, self.recipe.steps):
            started = time.monotonic()
            parts = self._step(step)
            self.done, self.seconds = step + 1, self.seconds + time.monotonic() - started
            if self.done % 25 == 0:
                told = " ".join(f"{name} {value:.3f}" for name, value in parts.items())
                print(f"step {self.done}, {self.seconds:.0f} s: {told}", flush=True)
            if self.done % 200 == 0 or self.done == self.recipe.steps:
                self._save()

    def _step(self, step: int) -> dict[str, float]:
        rng = random.Random(f"{self.recipe.seed}/{step}")
        parts = losses(
            self.model,
            self.heads,
            make_batch(self.bank, self.tokenizer, self.recipe.batch, rng),
        )
        self.optimiser.zero_grad()
        torch.stack(list(parts.values())).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.param_groups[0]["lr"] *= self._cooling(step)
        self.optimiser.step()
        self.schedule.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=math.log(MAX_LOGIT_SCALE))
        return {name: value.item() for name, value in parts.items()}

    def _cooling(self, step: int) -> float:
        return min(1.0, (self.recipe.steps - step) / self.recipe.cooldown)

    def _stateful(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "heads": self.heads,
            "opt": self.optimiser,
            "lr": self.schedule,
        }

    def _save(self) -> None:
        state = {name: part.state_dict() for name, part in self._stateful().items()}
        draft = self.checkpoint.with_suffix(".new")
        torch.save({**state, "step": self.done, "spent": self.seconds}, draft)
        draft.replace(self.checkpoint)

    def _load(self) -> None:
        state = torch.load(self.checkpoint)
        for name, part in self._stateful().items():
            part.load_state_dict(state[name])
        self.done, self.seconds = state["step"], state["spent"]

    def export(self, folder: Path) -> None:
        """Write the model, its tokenizer and its image processor to *folder*."""
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        CLIPImageProcessorPil(
            size={"shortest_edge": IMAGE_SIZE},
            crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        ).save_pretrained(folder)


# --- evaluation --------------------------------------------------------------------------------

ONE_ATTRIBUTE_QUERIES: Final[tuple[tuple[str, str, Any], ...]] = (
    *(
        (text, "shape", shape)
        for shape, plural in scenes.PLURALS.items()
        for text in dict.fromkeys((scenes.article(shape), plural))
    ),
    *((f"something {colour}", "colour", colour) for colour in scenes.COLOURS),
    *((f"something {size}", "size", size) for size in scenes.SIZES),
    *((f"{word} things", "count", count) for count, word in scenes.COUNTS.items() if count > 1),
    *(
        (f"something {words}", "position", position)
        for position, words in scenes.POSITION_PHRASES.items()
    ),
    *((f"{scenes.article(colour)} background", "background", colour) for colour in scenes.COLOURS),
    *((setting.phrase, "background", name) for name, setting in scenes.SETTINGS.items()),
)


@dataclass(frozen=True)
class Figures:
    """
    What a model finds among unseen scenes; shares between 0 and 1.

    `precision_at_5` is the mean over all one-attribute queries with 5 right answers or more, and
    `precision_by_attribute` its parts.
    """

    scenes: int
    description_first: float
    free_wording_first: float
    precision_at_5: float
    precision_by_attribute: dict[str, float]
    queries: int


class Searcher:
    """A saved model with its own tokenizer and image processor, as the product loads them."""

    def __init__(self, folder: Path) -> None:
        self.model = CLIPModel.from_pretrained(folder, dtype=torch.float32)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.processor: Any = AutoImageProcessor.from_pretrained(folder)

    @torch.inference_mode()
    def images(self, shown: Sequence[Scene]) -> torch.Tensor:
        """Return unit embeddings (B, d) of *shown*, from JPEG bytes through the processor."""
        pictures = [Image.open(io.BytesIO(drawing.jpeg(scene))) for scene in shown]
        pixels = self.processor(pictures, return_tensors="pt")["pixel_values"]
        return unit(self.model.get_image_features(pixels).pooler_output)

    @torch.inference_mode()
    def texts(self, queries: Sequence[str]) -> torch.Tensor:
        """Return unit embeddings (T, d) of *queries*."""
        tokens = self.tokenizer(list(queries), padding=True, truncation=True, return_tensors="pt")
        return unit(self.model.get_text_features(**tokens).pooler_output)


def unseen_scenes(count: int, seed: int) -> list[Scene]:
    """Return *count* scenes that differ in attributes from each other and from all training."""
    held_out = [i for i in range(scenes.SCENE_COUNT) if is_held_out(i)]
    return [scenes.scene(i) for i in random.Random(seed).sample(held_out, count)]


def evaluate(folder: Path, count: int = 200, seed: int = 7) -> Figures:
    """Measure the model in *folder* on *count* unseen scenes."""
    searcher, shown, rng = Searcher(folder), unseen_scenes(count, seed), random.Random(seed)
    images = searcher.images(shown)
    free = [caption(scene, tuple(ATTRIBUTES), rng).text for scene in shown]
    precisions = one_attribute_precisions(searcher, images, shown)
    found = [value for values in precisions.values() for value in values]
    return Figures(
        scenes=count,
        description_first=first_share(searcher, images, [scene.description for scene in shown]),
        free_wording_first=first_share(searcher, images, free),
        precision_at_5=sum(found) / len(found),
        precision_by_attribute={n: sum(values) / len(values) for n, values in precisions.items()},
        queries=len(found),
    )


def first_share(searcher: Searcher, images: torch.Tensor, queries: Sequence[str]) -> float:
    """Return how often query i ranks image i first."""
    best = (searcher.texts(queries) @ images.T).argmax(1)
    return (best == torch.arange(len(queries))).float().mean().item()


def one_attribute_precisions(
    searcher: Searcher, images: torch.Tensor, shown: Sequence[Scene]
) -> dict[str, list[float]]:
    """Return, by attribute, precision@5 of each query that has at least 5 right answers."""
    scores = searcher.texts([text for text, _, _ in ONE_ATTRIBUTE_QUERIES]) @ images.T
    precisions: dict[str, list[float]] = {name: [] for name in ATTRIBUTES}
    for (_, name, value), row in zip(ONE_ATTRIBUTE_QUERIES, scores, strict=True):
        right = torch.tensor([getattr(scene, name) == value for scene in shown])
        if right.sum() >= 5:
            precisions[name].append(right[row.topk(5).indices].float().mean().item())
    return precisions


# --- the model card ----------------------------------------------------------------------------


def write_card(folder: Path, trainer: Trainer, figures: Figures) -> None:
    """Write the model card, every figure of which comes from this run."""
    recipe, config = trainer.recipe, trainer.model.config.to_dict()
    vision, text = config["vision_config"], config["text_config"]
    weights = (folder / "model.safetensors").stat().st_size
    by_attribute = "\n".join(
        f"| precision@5, {name} | {value:.3f} |"
        for name, value in figures.precision_by_attribute.items()
    )
    (folder / "README.md").write_text(
        f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: zero-shot-image-classification
---

# The demo's CLIP

A small CLIP (Radford et al. 2021) that knows nothing but the pictures of this project's demo
gallery: {len(scenes.SHAPES)} shapes, {len(scenes.COLOURS)} colours, counts, sizes and positions on
{len(scenes.BACKGROUNDS)} backgrounds. It is here so that the whole search runs with no network and
no API key. It is of no use for photographs.

## Made by

`python tools/train_demo_model.py`, which repeats this training from its seed.

| | |
|---|---|
| image encoder | ViT, {vision["num_hidden_layers"]} layers of width {vision["hidden_size"]}, \
{vision["image_size"]} px, patches of {vision["patch_size"]} px |
| text encoder | {text["num_hidden_layers"]} layers of width {text["hidden_size"]}, \
{text["max_position_embeddings"]} tokens, byte-level BPE of {text["vocab_size"]} |
| embedding_dim | {config["projection_dim"]} |
| parameters | {trainer.model.num_parameters():,} |
| weights | {weights:,} bytes, float32 |
| learned logit scale | {trainer.model.logit_scale.exp().item():.1f} |
| training pictures | {recipe.scenes:,} rendered scenes, captions worded anew for every batch |
| training | {recipe.steps:,} steps of {recipe.batch} pictures and \
{recipe.batch * 3 // 2} captions, AdamW, seed {recipe.seed} |
| time | {trainer.seconds:,.0f} seconds on {torch.get_num_threads()} CPU threads, \
shared with other work |

The loss is CLIP's, with one change: a caption that is true of several pictures of the batch has
them all as targets. While training, helper heads also read the attributes off both encoders; they
are not part of the model. Half of each batch differs from the other half in one attribute.

## Measured

On {figures.scenes} scenes drawn at random from those held out: none of them, nor any with the same
attributes, was seen in training. Pictures go through JPEG and the image processor.

| | |
|---|---|
| complete description finds its own scene first | {figures.description_first:.3f} |
| complete description in free wording (synonyms, other order) finds it first | \
{figures.free_wording_first:.3f} |
| precision@5, {figures.queries} one-attribute queries such as "something red" | \
{figures.precision_at_5:.3f} |
{by_attribute}

`python tools/train_demo_model.py --eval-only` measures again.
""".replace("\\\n", ""),
        encoding="utf-8",
    )


# --- command line ------------------------------------------------------------------------------


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--eval-only", action="store_true", help="measure the saved model")
    parser.add_argument("--out", type=Path, default=FOLDER, help="the model's folder")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir()) / "imagesearch-demo-model",
        help="rendered pictures and the checkpoint; delete it to start afresh",
    )
    return parser.parse_args()


def main() -> None:
    """Train, export, measure and write the card; or only measure."""
    arguments = parse_arguments()
    torch.set_num_threads(2)
    if not arguments.eval_only:
        arguments.work.mkdir(parents=True, exist_ok=True)
        trainer = Trainer(Recipe(), arguments.work)
        trainer.run()
        trainer.export(arguments.out)
    figures = evaluate(arguments.out)
    if not arguments.eval_only:
        write_card(arguments.out, trainer, figures)
    print(json.dumps(asdict(figures), indent=2))


if __name__ == "__main__":
    main()
