"""What the prepare jobs share: say what will be done, do it, say what was done."""

import json
from collections import Counter
from dataclasses import replace

from dcgan_dist.cli.command_line import absolute
from dcgan_dist.cli.result_file import write_result
from dcgan_dist.data.contact_sheet import save_sheet
from dcgan_dist.data.stream import read_images
from dcgan_dist.prepare.plan import plan_shards
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.base import Source
from dcgan_dist.prepare.write_shards import prepare
from dcgan_dist.storage.copies import local_output

SHEET_NAME = "contact_sheet.png"
SHEET_IMAGES = 64


def run_preparation(source: Source, options: ShardOptions) -> int:
    """Prepare shards, write result.json and a contact sheet into the folder, print a summary; or print the plan only.

    Returns:
        Exit code 0.

    Raises:
        InputError: see `prepare`.
    """
    options = replace(options, out=absolute(options.out, "out"))
    if options.dry_run:
        tasks = plan_shards(source, options)
        items = Counter[str]()
        for task in tasks:
            items[task.split] += len(task.items)
        counts = ", ".join(f"{n} {split}" for split, n in items.items())
        print(f"{source.dataset}: {counts} items into {len(tasks)} shards ({options.layout}) in {options.out}")
        print(f"preprocessing {json.dumps(source.describe()[0])}; nothing was written")
        return 0
    prepared = prepare(source, options)
    manifest = prepared.manifest
    images = read_images(manifest, SHEET_IMAGES, image_size=manifest.image_size)
    with local_output(options.out, "out") as folder:
        save_sheet(list(images.permute(0, 2, 3, 1).numpy()), folder / SHEET_NAME)
        write_result(folder, {"job": "prepare"} | prepared.to_json())
    print(f"{prepared}\ncontact sheet {options.out.rstrip('/')}/{SHEET_NAME}")
    return 0
