"""Sections of a model's report, one per result.json, each beside what the paper says."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from dcgan_dist.cli.html_page import beside, bullets, figure, folded, gallery, heading, paragraph, table
from dcgan_dist.cli.progress import percent
from dcgan_dist.cli.result_file import RESULT_NAME
from dcgan_dist.errors import InputError
from dcgan_dist.registry.lineage import TrainingRecord
from dcgan_dist.report.report_pictures import shrunk
from dcgan_dist.report.result_values import values
from dcgan_dist.untrusted import is_plain_path, parse_json, read_file, refusing

STORY = ("dedup", "check_memorization", "evaluate", "search", "explore")
"""Jobs in the order of the paper's sections."""
EXPLORATIONS = ("walk", "filters", "windows", "arithmetic", "turn")
EARLIER_RESULTS = {
    "table": "evaluate",
    "trials": "search",
    "duplicate_pairs": "dedup",
    "verdict": "check_memorization",
    "images_seen": "train",
}
"""Key of a result that has no `job` -> the job that wrote it."""

TRAINING = (
    "Section 4: Adam 0.0002 with beta1 0.5, batches of 128. LSUN bedrooms are shown after 1 epoch (about 3 million images seen, "
    "figure 2), which already look like bedrooms, and after 5 (15 million, figure 3), whose repeated textures are a sign of "
    "underfitting."
)
DEDUPLICATION = (
    "Section 4.1.1: about 275,000 of 3 million LSUN bedrooms (9 %) were removed as near duplicates, by equal 128-bit codes of "
    "an autoencoder; less than 1 in 100 of them falsely."
)
MEMORIZATION = (
    "Section 4.1: no test. One epoch at a small learning rate cannot memorize, it says, and latent walks are smooth."
)
TABLES = {
    "cifar10": "Section 5.1: CIFAR-10 from features of a discriminator trained on ImageNet-1k: 82.8 % (400 labels per class: 73.8 %).",
    "svhn": "Section 5.2: SVHN with 1000 labels from discriminator features and a linear SVM: 22.48 % test error.",
    "mnist": "Released code and appendix: nearest neighbour error on MNIST from 50,000 generated digits: 2.98 %.",
}
SEARCH = "Section 5.2: a supervised CNN of the same architecture, best of 64 random settings: 28.87 % validation error."


class Result(NamedTuple):
    """One result.json."""

    path: Path
    content: dict[str, Any]

    @property
    def job(self) -> str:
        """The job that wrote it: the first word of its `job`; results of earlier versions are known by a key of theirs."""
        name = str(self.content.get("job", ""))
        return name.partition(" ")[0] or next((job for key, job in EARLIER_RESULTS.items() if key in self.content), "")


def read_results(paths: Iterable[str]) -> list[Result]:
    """Results from files and from folders, in which every result.json is taken.

    Raises:
        InputError: a path without one, or a file that is not the result of a job.
    """
    results = []
    for path in map(Path, paths):
        files = sorted(path.rglob(RESULT_NAME)) if path.is_dir() else [path]
        if not files:
            raise InputError(f"`results` {path} holds no {RESULT_NAME}: give the `out` folder of a job")
        for file in files:
            with refusing(f"`results` {file} is not the result of a job", "run that job again"):
                results.append(Result(file, parse_json(read_file(file), dict[str, Any])))
    return results


def refusing_result(result: Result) -> AbstractContextManager[None]:
    """Raise InputError where a result lacks what its job writes."""
    return refusing(f"`results` {result.path} is not what the job wrote", "run it again")


def training(record: TrainingRecord, grids: Iterable[Markup]) -> list[Markup]:
    """How a model was trained, beside how the paper's was, and grids drawn on the way."""
    settings = record.settings
    adam = f"Adam {settings.get('optimizer_d.lr', '?')} with beta1 {settings.get('optimizer_d.beta1', '?')}"
    ours = f"Preset {settings.get('preset', 'unknown')}: {adam}, batches of {settings.get('data.batch_size', '?')}"
    ours += f", {record.images_seen:,} images seen."
    return [heading("Training"), beside(TRAINING, ours), gallery(grids, "charts")]


def section(result: Result) -> list[Markup]:
    """What a result says in a sentence, beside what the paper says, with its picture; nothing for results of other jobs.

    Raises:
        InputError: it lacks what its job writes.
    """
    with refusing_result(result):
        return WRITERS[result.job](result) if result.job in WRITERS else []


def details(result: Result) -> Markup:
    """Everything that a result holds, folded."""
    name = str(result.content.get("job") or result.job or "a result")
    with refusing_result(result):
        return folded(f"All values of {name} ({result.path.parent.name})", values(result.content))


def order(result: Result) -> tuple[int, int, str]:
    """Place of a result's section in the report: by job, explorations as the paper has them, then by name or path."""
    name = str(result.content.get("job", result.path))
    return _place(result.job, STORY), _place(name.removeprefix("explore "), EXPLORATIONS), name


def _place(name: str, names: tuple[str, ...]) -> int:
    return names.index(name) if name in names else len(names)


def _picture(result: Result, name: str, caption: str) -> list[Markup]:
    """The picture that a job left beside its result; nothing where there is none."""
    path = result.path.parent / name
    return [figure(shrunk(path.read_bytes()), caption)] if path.is_file() else []


def _exploration(result: Result) -> list[Markup]:
    content = result.content
    name = content["job"].removeprefix("explore ")
    found = findings(name, content["figures"]) or "see the picture"
    parts = [heading(name.capitalize()), beside(content["paper"], f"{found[0].upper()}{found[1:]}.")]
    for picture in content["pictures"]:
        file = result.path.parent / picture["file"]
        if file.suffix == ".png" and is_plain_path(picture["file"]) and file.is_file():
            # The page has the caption as text, so the picture's own is cut off.
            parts.append(figure(shrunk(file.read_bytes(), height=picture.get("caption_at")), picture["caption"]))
        else:
            parts.append(paragraph(f"{picture['caption']} ({picture['file']}, beside the result)"))
    return parts


def findings(name: str, figures: dict[str, Any]) -> str:
    """The figures of an exploration that matter, in a phrase; empty where it measured nothing."""

    def share(figure: dict[str, Any]) -> str:
        return percent(figure["share"], 0)

    match name:
        case "walk":
            walks = {key: walk["features"]["ratio"] for key, walk in figures.get("linear", {}).items()}
            if "walk" not in walks:
                return ""
            recalled = walks.get("nearest_real_images")
            beside_it = f" (of the nearest real images: {recalled:.1f})" if recalled else ""
            return f"the largest step of the walk is {walks['walk']:.1f} times the mean one{beside_it}"
        case "filters":
            halves = [figures[key]["share_of_pixels_with_half_of_the_gradient"] for key in ("trained", "random")]
            return f"half of the gradient lies in {percent(halves[0], 1)} of the pixels, of a random D in {percent(halves[1], 1)}"
        case "windows" if "before" in figures:
            layers = {key: layer for key, layer in figures.items() if isinstance(layer, dict) and "after" in layer}
            return f"windows in {share(figures['before'])} of the samples; " + "; ".join(
                f"in {share(layer['after'])} without {layer['dropped']} of {layer['maps']} maps of {key} (as many random maps: "
                f"{share(layer['after_dropping_as_many_random_maps'])})"
                for key, layer in layers.items()
            )
        case "arithmetic":
            sums = {key: sums for key, sums in figures.items() if isinstance(sums, dict) and "results" in sums}
            return "; ".join(
                f"{key}: {share(judged['results'])} of the results are so, {share(judged['c_alone'])} of C alone"
                for key, judged in sums.items()
            )
        case "turn" if "n" in figures:
            turned, astray = figures["turned_left_from_end_to_end"], figures["same_along_a_random_axis"]
            return f"{share(turned)} of {turned['n']:,} samples turn, along a random axis {share(astray)}"
    return ""


def _table(result: Result) -> list[Markup]:
    content = result.content
    columns = list(dict.fromkeys(column for row in content["rows"] for column in row["figures"]))
    rows = []
    for row in content["rows"]:
        figures = []
        for column in columns:
            value, spread = row["figures"].get(column), (row.get("spread") or {}).get(column)
            shown = "" if value is None else f"{value:.2f}"
            figures.append(f"{shown} +- {spread:.2f}" if shown and spread is not None else shown)
        rows.append([row["name"], *figures, row["source"]])
    ours = next((row for row in content["rows"] if row["source"] == "this run"), None)
    here = f"{ours['name']}: {_percentages(ours['figures'])}." if ours else "See the table."
    return [
        heading(f"Table: {content['table']}"),
        beside(TABLES.get(content["table"], "Not in the paper."), here),
        table(["", *columns, "from"], rows, f"Protocol {content.get('protocol', '')}; percent."),
        *_deviations(content),
    ]


def _percentages(figures: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:.2f} %" for name, value in figures.items() if value is not None)


def _deviations(content: dict[str, Any]) -> list[Markup]:
    """What our protocol does otherwise than the paper's."""
    deviations = content.get("deviations")
    return [folded(f"In what ours differs ({len(deviations)})", bullets(deviations))] if deviations else []


def _search(result: Result) -> list[Markup]:
    content = result.content
    best, row = content.get("best") or {}, content.get("row") or {}
    ours = [f"it failed: {content['error']}"] if "error" in content else []
    if "validation_error_percent" in best:
        ours.append(f"best trial {best['validation_error_percent']:.2f} % validation error")
    if test := row.get("test_error_percent"):
        ours.append(f"its settings on {test['draws']} fresh draws of labels {test['mean']:.2f} % test error")
    found = "; ".join([f"{content.get('finished', 0):,} trials finished", *ours])
    return [
        heading("Search: a supervised network of the same shape"),
        beside(SEARCH, f"{found}."),
        *_picture(result, "search.png", "Settings and validation error of the trials; thick line: the best."),
        *_deviations(content),
    ]


def _deduplication(result: Result) -> list[Markup]:
    content = result.content
    removed, images = content["near_duplicates"], content["thinned_images"]
    ours = f"{removed:,} of {images:,} images found to be near duplicates ({percent(removed / max(1, images), 1)})"
    bounds = [test["bound"] for test in content.get("false_discovery", {}).values()]
    sure = f", at most {percent(max(bounds))} of the pairs falsely (95 % bound)" if bounds else ""
    caption = "Near duplicates (red frame), each beside the image that stays in its place (green frame)."
    return [
        heading("De-duplication"),
        beside(DEDUPLICATION, f"{ours}{sure}."),
        *_picture(result, "removed.jpg", caption),
    ]


def _memorization(result: Result) -> list[Markup]:
    content = result.content
    reasons = "; ".join(content.get("reasons", []))
    caption = "The samples most like a training image, each beside it."
    return [
        heading("Memorization"),
        beside(MEMORIZATION, f"{content['verdict'].capitalize()}: {reasons}."),
        *_picture(result, "closest_pairs.png", caption),
    ]


WRITERS = {
    "explore": _exploration,
    "evaluate": _table,
    "search": _search,
    "dedup": _deduplication,
    "check_memorization": _memorization,
}
"""Sections by job."""
