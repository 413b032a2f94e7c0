"""The command line: `datalab VERB ...`, one file per verb.

Owns the list of verbs and how errors end a command. A verb's module is imported only when it is called, so that
`datalab --help` is instant; each such module has `app`, a Typer application with one command or several. Must never show
a stack trace for a mistake of the caller's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

VERBS = {
    "init": "make a gateway's home: keys, databases, the first admin client",
    "serve": "run the gateway",
    "demo": "run a complete gateway with real sector data",
    "migrate": "bring the databases to the form that this version needs",
    "check": "show the effective settings, and what is wrong with them",
    "apply": "register what YAML files describe, policies included",
    "register": "draft a dataset's YAML from its files",
    "query": "send SQL to a gateway and show the answer",
    "login": "fetch and keep an access token",
    "explain": "show what you would see of a dataset, and why",
    "audit": "verify the audit trail and report from it",
    "backup": "copy databases, keys and audit trail of a gateway",
    "restore": "make a home from a backup",
}


CLIENT_ERRORS = frozenset({"GatewayError", "Truncated", "ConnectError", "ConnectTimeout", "ReadTimeout"})
"""What `datalab.client` raises; by name, because only two verbs need its imports."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a verb and ends the process with its exit code: 0 done, 1 refused or failed, 2 wrongly called."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in {"-h", "--help", "help"}:
        print(_help())
        sys.exit(0 if given else 2)
    if given[0] == "--version":
        print(version("datalab-gateway"))
        return
    if given[0] not in VERBS:
        print(f"datalab: there is no verb {given[0]!r}; see `datalab --help`.", file=sys.stderr)
        sys.exit(2)
    sys.exit(_run(given[0], given[1:]))


def _help() -> str:
    verbs = "\n".join(f"  {verb:<10}{does}" for verb, does in VERBS.items())
    return (
        "Usage: datalab VERB [OPTIONS] ...\n\nA data-lab gateway: Parquet datasets served through SQL under access policies.\n\n"
        f"{verbs}\n\nExample: datalab init --home ./home && datalab serve --home ./home\n"
        "Each verb explains itself: datalab VERB --help"
    )


def _run(verb: str, arguments: list[str]) -> int:
    from typer.main import get_command

    from datalab.app.origin import OriginRefused, require_one_origin

    try:
        require_one_origin()
        command = get_command(import_module(f"datalab.cli.{verb}").app)
        done = command.main(args=arguments, prog_name=f"datalab {verb}", standalone_mode=True)
    except OriginRefused as error:
        return _refused(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141
    except Exception as error:  # noqa: BLE001 - what is no refusal of the house is raised again
        return _refused(*sentences_of(error))
    return done if isinstance(done, int) else 0


def sentences_of(error: Exception) -> list[str]:
    """What a refusal of the house says of itself; anything else is a bug and is raised again."""
    problems = getattr(error, "problems", None)
    if isinstance(problems, list):
        return [str(one) for one in problems]
    sentence = getattr(error, "sentence", None)
    if isinstance(sentence, str):
        listed = getattr(error, "detail", {}).get("problems", ())
        return [sentence, *(f"  {one.get('field', one.get('path'))}: {one['problem']}" for one in listed)]
    if type(error).__name__.endswith("Refused") or type(error).__name__ in CLIENT_ERRORS:
        return [str(error)]
    raise error


def _refused(*sentences: str) -> int:
    for sentence in sentences:
        print(f"datalab: {sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    main()
