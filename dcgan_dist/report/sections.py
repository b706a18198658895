"""Sections of a model's report, one per result.json, each beside what the paper says."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from dcgan_dist.cli.html_page import banner, bullets, figure, heading, paragraph, table
from dcgan_dist.cli.result_file import RESULT_NAME
from dcgan_dist.errors import InputError
from dcgan_dist.report.report_pictures import shrunk
from dcgan_dist.untrusted import is_plain_path, parse_json, read_file, refusing

EXPLORATIONS = ("walk", "filters", "windows", "arithmetic", "turn")
EARLIER_RESULTS = {
    "table": "evaluate",
    "trials": "search",
    "duplicate_pairs": "dedup",
    "verdict": "check_memorization",
    "images_seen": "train",
}
"""Key of a result that has no `job` -> the job that wrote it."""
TRAINING_FIGURES = "run_name run_id images_seen status seconds_of_this_start manifest_hash sha256 quality"
TRAINING_SETTINGS = "preset dataset epochs schedule norm_group seed ema_half_life_images model data"

DEDUPLICATION = (
    "4.1.1: a 3072-128-3072 de-noising autoencoder, equal 128-bit codes are near duplicates; about 275,000 of 3 million LSUN "
    "bedrooms were removed, with a false positive rate below 1 in 100."
)
MEMORIZATION = (
    "4.1: one epoch at a small learning rate cannot memorize; later sections show smooth latent walks. The paper has no test; "
    "this one compares samples with their nearest training images."
)
TABLES = {
    "cifar10": "5.1: CIFAR-10 from features of a discriminator trained on ImageNet-1k: 82.8 % (400 labels per class: 73.8 %).",
    "svhn": "5.2: SVHN with 1000 labels from discriminator features and a linear SVM: 22.48 % test error.",
    "mnist": "Released code and appendix: nearest neighbour error on MNIST from generated training digits.",
}
SEARCH = "5.2: a supervised CNN of the same architecture, best of 64 random settings: 28.87 % validation error."
TRAINING = "4: Adam 2e-4, beta1 0.5, batches of 128; LSUN samples are shown after 1 and 5 epochs."


class Result(NamedTuple):
    """One result.json."""

    path: Path
    content: dict[str, Any]


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


def job_of(result: Result) -> str:
    """The job that wrote a result: the first word of its `job`; results of earlier versions are known by a key of theirs."""
    name = str(result.content.get("job", ""))
    return name.partition(" ")[0] or next((job for key, job in EARLIER_RESULTS.items() if key in result.content), "")


def section(result: Result) -> list[Markup]:
    """What a result says, beside what the paper says; a result of another job as a table of its values.

    Raises:
        InputError: it lacks what its job writes.
    """
    with refusing(f"`results` {result.path} is not what the job wrote", "run it again"):
        return WRITERS.get(job_of(result), _values_alone)(result)


def order(result: Result) -> tuple[int, int, str]:
    """Place of a result's section in the report: by job, explorations as the paper has them, then by name or path."""
    job, name = job_of(result), str(result.content.get("job", result.path))
    exploration = name.removeprefix("explore ")
    return _place(job, tuple(WRITERS)), _place(exploration, EXPLORATIONS), name


def _place(name: str, names: tuple[str, ...]) -> int:
    return names.index(name) if name in names else len(names)


def _exploration(result: Result) -> list[Markup]:
    content = result.content
    name = content["job"].removeprefix("explore ").capitalize()
    parts = [heading(name), paragraph(f"The paper: {content['paper']}")]
    for picture in content["pictures"]:
        file = result.path.parent / picture["file"]
        if file.suffix == ".png" and is_plain_path(picture["file"]) and file.is_file():
            # The page has the caption as text, so the picture's own is cut off.
            picture_bytes = shrunk(file.read_bytes(), height=picture.get("caption_at"))
            line = f"{picture['caption']} {content['model']['uri']}, seed {content['seed']}; {content['command']}"
            parts.append(figure(picture_bytes, line))
        else:
            parts.append(paragraph(f"{picture['caption']} ({picture['file']}, beside the result)"))
    return [*parts, values(content["figures"])]


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
    paper = TABLES.get(content["table"], "")
    return [
        heading(f"Table: {content['table']}"),
        *([paragraph(f"The paper: {paper}")] if paper else []),
        table(["", *columns, "from"], rows, f"Protocol {content.get('protocol', '')}; percent."),
        *_deviations(content),
        _origin(content),
    ]


def _deviations(content: dict[str, Any]) -> list[Markup]:
    """What our protocol does otherwise than the paper's."""
    deviations = content.get("deviations")
    return [paragraph("In what ours differs:"), bullets(deviations)] if deviations else []


def _search(result: Result) -> list[Markup]:
    content = result.content
    names = ("error", "finished", "failed", "stopped", "best", "row", "paper_row")
    parts = [
        heading("Search: a supervised network of the same shape"),
        paragraph(f"The paper: {SEARCH}"),
        values({name: content[name] for name in names if name in content}),
        *_deviations(content),
    ]
    picture = result.path.parent / "search.png"
    if picture.is_file():
        parts.append(figure(shrunk(picture.read_bytes()), "Validation error of the trials."))
    return [*parts, _origin(content)]


def _deduplication(result: Result) -> list[Markup]:
    content = {key: value for key, value in result.content.items() if not isinstance(value, list)}
    content.pop("job", None)
    removed, images = content.get("near_duplicates"), content.get("thinned_images")
    parts = [heading("De-duplication"), paragraph(f"The paper: {DEDUPLICATION}")]
    if removed is not None and images:
        parts.append(paragraph(f"Here: {removed:,} of {images:,} images are near duplicates ({removed / images:.1%})."))
    return [*parts, values(content), _origin(content)]


def _memorization(result: Result) -> list[Markup]:
    content = dict(result.content)
    content.pop("job", None)
    verdict, reasons = content.pop("verdict"), content.pop("reasons", [])
    kind = {"pass": "good", "fail": "bad"}.get(verdict, "unsure")
    parts = [heading("Memorization"), paragraph(f"The paper: {MEMORIZATION}"), banner(f"Verdict: {verdict}", kind)]
    parts += [bullets(reasons)] if reasons else []
    return [*parts, values(content), _origin(content)]


def _training(result: Result) -> list[Markup]:
    content = result.content
    config = content.get("config", {})
    shown = {name: content[name] for name in TRAINING_FIGURES.split() if name in content}
    shown["config"] = {name: config[name] for name in TRAINING_SETTINGS.split() if name in config}
    return [heading("Training"), paragraph(f"The paper: {TRAINING}"), values(shown)]


def _values_alone(result: Result) -> list[Markup]:
    return [heading(f"Result: {result.path.parent.name}"), values(result.content), _origin(result.content)]


WRITERS = {
    "train": _training,
    "explore": _exploration,
    "evaluate": _table,
    "search": _search,
    "dedup": _deduplication,
    "check_memorization": _memorization,
}
"""Sections by job, in their order on the page."""


def values(content: dict[str, Any]) -> Markup:
    """Nested values: what has the same names side by side as a table, all else as rows of dotted name and value.

    Shares with an interval stand on one line, long lists are cut.
    """
    rows: list[tuple[str, Any]] = []
    families: dict[tuple[str, ...], dict[str, list[Any]]] = {}
    for name, value in _nodes("", content):
        if not isinstance(value, dict) or _is_share(value):
            rows += [(name, _shown(value))] if value is not None else []
        elif name and value and all(isinstance(number, int | float) for number in value.values()):
            families.setdefault(tuple(value), {})[name] = list(value.values())
    tables = []
    for names, members in families.items():
        if len(members) > 1 and len(names) > 1:
            columns = ["", *(name.replace("_", " ") for name in names)]
            tables.append(table(columns, [[member, *figures] for member, figures in members.items()]))
            shown = {f"{member}.{name}" for member in members for name in names}
            rows = [row for row in rows if row[0] not in shown]
    return Markup("").join([*tables, table(("figure", "value"), rows)] if rows else tables)


def _nodes(name: str, content: Any) -> Iterable[tuple[str, Any]]:
    """Nested values by dotted name, dictionaries before what they hold; a share with its interval is one value."""
    yield name, content
    if isinstance(content, dict) and not _is_share(content):
        for key, value in content.items():
            yield from _nodes(f"{name}.{key}" if name else str(key), value)


def _is_share(content: dict[str, Any]) -> bool:
    return {"k", "n", "share", "low", "high"} <= content.keys()


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        count = f"{value['k']:,} of {value['n']:,}"
        return f"{value['share']:.1%} ({count}; 95 % interval {value['low']:.1%} to {value['high']:.1%})"
    if isinstance(value, list):
        shown = ", ".join(f"{item:.4g}" if isinstance(item, float) else str(item) for item in value[:20])
        return shown + (f", ... ({len(value)} in all)" if len(value) > 20 else "")
    return value


def _origin(content: dict[str, Any]) -> Markup:
    """Model version, seed and command of a result, as far as it tells."""
    model = content.get("model")
    shown = {
        "model": model.get("uri") if isinstance(model, dict) else model,
        "seed": content.get("seed"),
        "command": content.get("command"),
    }
    line = Markup("; ").join(
        Markup("{} <code>{}</code>").format(name, value) for name, value in shown.items() if value is not None
    )
    return paragraph(line) if line else Markup("")
