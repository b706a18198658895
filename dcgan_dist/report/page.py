"""One page about one trained model: what it draws, what was measured, beside what the paper says."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dcgan_dist.cli.command_line import absolute, absolute_tracking_uri
from dcgan_dist.cli.html_page import banner, facts, folded, heading, opening, page, paragraph, save_page, verdict_banner
from dcgan_dist.cli.result_file import writing
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.models.generator import Generator
from dcgan_dist.registry.identify import identify, open_generator
from dcgan_dist.registry.model_uri import in_registry
from dcgan_dist.report.model_facts import model_facts, record_of, verdict_of
from dcgan_dist.report.quality_scale import measure_scale
from dcgan_dist.report.report_options import ReportJob
from dcgan_dist.report.report_pictures import sample_picture, training_grids
from dcgan_dist.report.result_values import values
from dcgan_dist.report.sections import details, order, read_results, section, training
from dcgan_dist.storage.copies import local_output
from dcgan_dist.tracking.environment import environment_tags
from dcgan_dist.tracking.runs import TrackedRun


def write_report(job: ReportJob, arguments: Sequence[str]) -> str:
    """Gather, write, keep in MLflow; returns the page's place.

    Raises:
        InputError: no such model, a result that cannot be read, or a place that cannot be written.
    """
    results = sorted(read_results(absolute(path, "results") for path in job.results), key=order)
    tracking_uri = absolute_tracking_uri(job.tracking_uri)
    generator = open_generator(job.model, tracking_uri)
    identity = identify(job.model, tracking_uri)
    record = record_of(identity, results, tracking_uri)
    data = load_manifest(absolute(job.shards, "shards")) if job.shards else None
    scale = measure_scale(generator, data, crop=job.crop, seed=job.seed, classes=job.classes) if data else None
    kind, quality = scale.verdict if scale else ("unsure", "not judged: give --shards to compare with real images.")
    command = shlex.join(["python", "jobs/report.py", *arguments])
    sections = [
        banner(f"Quality: {quality}", kind),
        verdict_banner(verdict_of(identity, results)[0]),
        opening(
            sample_picture(generator, job.seed, job.classes),
            facts(model_facts(generator, identity, record, results, scale=scale, data=data)),
        ),
        *(training(record, training_grids(identity, tracking_uri)) if record else []),
        *(element for result in results for element in section(result)),
        heading("Appendix"),
        folded("The model", values({**{k: v for k, v in identity.items() if v}, "generator": _shape(generator)})),
        *map(details, results),
        folded(
            "This page",
            paragraph(Markup("Made by <code>{}</code>").format(command)),
            paragraph(
                "Every image is drawn with standing batch normalisation statistics: it does not depend on its batch mates."
            ),
        ),
    ]
    out = absolute(job.out, "out")
    out = out if out.endswith(".html") else f"{out.rstrip('/')}/report.html"
    with local_output(out, "out") as file:
        with writing(f"`out` {out}", "name another place"):
            save_page(page(_title(identity), *sections), file)
        if job.track:
            _track(job, tracking_uri, identity, file)
    return out


def _title(identity: dict[str, Any]) -> str:
    """The model's name, without the folders of this machine."""
    uri = identity["uri"]
    return uri.removeprefix("models:/") if in_registry(uri) else Path(uri).name


def _shape(generator: Generator) -> dict[str, Any]:
    config = generator.config
    prior = "uniform(-1, 1)" if config.latent_distribution == "uniform" else "N(0, 1)"
    return {
        "z": f"{config.latent_dim} from {prior}",
        "maps": ", ".join(f"{maps * config.generator_width}" for maps in config.generator_maps),
        "kernels": f"{config.kernel_size} x {config.kernel_size}",
        "parameters": sum(parameter.numel() for parameter in generator.parameters()),
    }


def _track(job: ReportJob, tracking_uri: str, identity: dict[str, Any], out: Path) -> None:
    params = {"model": identity["uri"], "seed": job.seed, "results": " ".join(job.results)}
    tags = environment_tags() | {"model": identity["uri"], "kind": "report"}
    run = TrackedRun.create(tracking_uri, job.experiment, f"report-{Path(identity['uri']).name}", params, tags)
    run.log_artifact(out)
    run.finish("FINISHED")
    print(f"kept in MLflow: {run.description}")
