"""What a report is made of."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportJob:
    """What is put together."""

    model: str
    """models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN_ID/generator, or a path: a checkpoint, an export, a
    file of PyTorch's DCGAN example, or the authors' arrays (docs/models.md): the generator."""
    results: tuple[str, ...] = ()
    """result.json files, or folders in which every result.json is taken: of explore, evaluate, search, dedup,
    check_memorization and training jobs."""
    out: str
    """The page, an .html file; or a folder, for report.html in it."""
    seed: int = 0
    """Seed of the samples on it."""
    classes: tuple[int, ...] = ()
    """Numbers of the classes to draw, which take turns; empty: all. For a generator with classes."""
    shards: str = ""
    """The data set that it was trained on: says how good samples are beside real images; empty: not measured."""
    crop: Literal["none", "centre"] = "centre"
    """How real images larger than the model's are cut."""
    tracking_uri: str = ""
    """MLflow server or database; default $MLFLOW_TRACKING_URI, else the default storage's."""
    track: bool = True
    """Keep the page in MLflow, in a run of its own that names the model."""
    experiment: str = "dcgan_dist"
    """Experiment of that run."""
