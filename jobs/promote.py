"""Make a registered version the champion if the gate lets it: no copies, quality not worse, data known.

python jobs/promote.py --model models:/dcgan-lsun-generator@candidate

python jobs/promote.py --model models:/dcgan-lsun-generator@champion --rollback

Exit code 0 if @champion is (or with --dry-run would be) that version, 1 if the gate says no.
"""

from dataclasses import dataclass

from dcgan_dist.cli.command_line import absolute, absolute_tracking_uri, parse, run
from dcgan_dist.cli.logs import render_flags
from dcgan_dist.cli.result_file import write_json


@dataclass(frozen=True, kw_only=True, slots=True)
class Promote:
    """Which version, and what to do."""

    model: str
    """models:/NAME@ALIAS or models:/NAME/VERSION; with --rollback any version of that name."""
    tracking_uri: str = ""
    """MLflow server or database with the registry; default $MLFLOW_TRACKING_URI, else the default storage's."""
    dry_run: bool = False
    """Print every check and what would be done; change nothing."""
    rollback: bool = False
    """Point @champion at the champion before the present one."""
    json: str = ""
    """File for the checks; empty: none."""


def main(argv: list[str]) -> int:
    """Check and move the alias."""
    job = parse(Promote, argv, description=__doc__ or "")
    from dcgan_dist.registry.champion import ChampionRegistry
    from dcgan_dist.registry.promotion_gate import gate

    registry = ChampionRegistry(absolute_tracking_uri(job.tracking_uri))
    version = registry.version(job.model)
    now = registry.champion(version.name)
    print(f"@champion of {version.name}: {now.uri if now else 'none'}")
    if job.rollback:
        before = registry.champion_before(version.name)
        if before is None:
            print("no champion before it is known: nothing to go back to")
            return 1
        if not job.dry_run:
            registry.restore(version.name)
        print(f"@champion {'would be' if job.dry_run else 'is'} {before.uri} again")
        return 0

    checks = gate(registry, version)
    passed = all(check.passed is not False for check in checks)
    print(render_flags("\n".join(map(str, checks))))
    if job.json:
        content = {"model": version.uri, "passed": passed, "checks": [check._asdict() for check in checks]}
        write_json(absolute(job.json, "json"), content)
    if not passed:
        print(f"{version.uri} does not become the champion")
        return 1
    if not job.dry_run:
        registry.make_champion(version)
    print(f"@champion {'would be' if job.dry_run else 'is'} {version.uri}")
    return 0


if __name__ == "__main__":
    run(main)
