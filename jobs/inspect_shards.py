"""A full check of shards: counts, sizes, class balance, a contact sheet, and every damaged shard and sample by name.

python jobs/inspect_shards.py --shards shards/lsun --json inspection.json

Exits 1 if anything is damaged.
"""

from dataclasses import dataclass

from dcgan_dist.cli.command_line import absolute, default_shards, parse, run
from dcgan_dist.cli.progress import progress_bar
from dcgan_dist.cli.result_file import write_json, writing


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectShards:
    """What is inspected."""

    shards: str = ""
    """Folder of shards, tar or manifest; empty: $DCGAN_DIST_SHARDS, else ~/dcgan_dist/shards."""
    sheet: str = ""
    """Write a contact sheet of images spread over the shards to this PNG."""
    json: str = ""
    """Write the inspection to this file."""


def main(argv: list[str]) -> int:
    """Inspect shards."""
    options = parse(InspectShards, argv, description=__doc__ or "")
    from dcgan_dist.data.contact_sheet import save_sheet
    from dcgan_dist.data.shards.inspection import inspect
    from dcgan_dist.data.shards.manifest import load_manifest
    from dcgan_dist.storage.copies import local_output

    manifest = load_manifest(absolute(options.shards or default_shards(), "shards"), check_shards=False)
    with progress_bar(manifest.samples, manifest.dataset) as bar:
        inspection = inspect(manifest, bar.update)
    print(inspection)
    write_json(options.json, inspection.to_json())
    if options.sheet:
        with local_output(options.sheet, "sheet") as file, writing(f"`sheet` {options.sheet}", "name another file"):
            save_sheet(inspection.sheet, file)
        print(f"contact sheet {options.sheet}")
    return 1 if inspection.damages else 0


if __name__ == "__main__":
    run(main)
