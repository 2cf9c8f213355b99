"""All that the sbom stage reads from an environment, as one document that a program can write.

An environment in an image can only be looked at from inside it, where our dependencies are not:
`python -m pipeline.examination ENVIRONMENT OUTPUT` needs nothing but `packaging` and this module's
own few imports. The Python that runs it should be the one that the environment was made for.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement

from pipeline import inventory
from pipeline.errors import EnvironmentFailed
from pipeline.inventory import Inventory


@dataclass(frozen=True, slots=True)
class Examination:
    """What is in an environment.

    `requires` is what each distribution says that it requires, by canonical name; `changes` how
    the files differ from the distributions' records, as `inventory.changes` says it; `markers` the
    marker environment of the Python that looked.
    """

    inventory: Inventory
    requires: Mapping[str, tuple[Requirement, ...]]
    changes: tuple[str, ...]
    markers: Mapping[str, str]

    def to_bytes(self) -> bytes:
        """The examination as JSON."""
        document = {
            "format": 1,
            "inventory": self.inventory.to_json(),
            "requires": {name: [str(r) for r in some] for name, some in self.requires.items()},
            "changes": list(self.changes),
            "markers": dict(self.markers),
        }
        return (json.dumps(document, indent=1) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Examination:
        """Raises ValueError for anything but the output of `to_bytes`.

        Another release of `packaging` may have spelled the requirements, so only their meaning is
        held to.
        """
        document = json.loads(data)
        fields = {"format", "inventory", "requires", "changes", "markers"}
        if not isinstance(document, dict) or document.keys() != fields or document["format"] != 1:
            raise ValueError("not an examination of an environment")
        requires = document["requires"]
        if not isinstance(requires, dict):
            raise ValueError("what the distributions require is not a mapping")
        markers = document["markers"]
        # A missing one would be taken from this interpreter without a word.
        if not isinstance(markers, dict) or not default_environment().keys() <= markers.keys():
            raise ValueError("the marker environment is not whole")
        return cls(
            Inventory.from_json(document["inventory"]),
            {name: tuple(map(Requirement, _texts(some))) for name, some in requires.items()},
            _texts(document["changes"]),
            dict(zip(markers, _texts(list(markers.values())), strict=True)),
        )


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError("not a list of texts")
    return tuple(value)


def examine(environment: Path) -> Examination:
    """Look at everything in the virtual environment at `environment`, with this interpreter.

    Reads every file once. Raises EnvironmentFailed when no packages can lie there at all: an
    empty list would otherwise stand for an environment that was looked for in the wrong place.
    """
    if not inventory.sites(environment):
        raise EnvironmentFailed(
            f"{environment} is no virtual environment: it has no folder for packages.",
            "Name the folder that has `lib` in it.",
        )
    requires = inventory.requirements(environment)
    return Examination(
        inventory.of(environment),
        {name: tuple(requires[name]) for name in sorted(requires)},
        tuple(inventory.changes(environment)),
        {name: str(value) for name, value in default_environment().items()},
    )


def main() -> None:
    """Examine an environment and write what was found."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.examination", description=main.__doc__
    )
    parser.add_argument("environment", type=Path, metavar="ENVIRONMENT")
    parser.add_argument("output", type=Path, metavar="OUTPUT")
    arguments = parser.parse_args()
    try:
        arguments.output.write_bytes(examine(arguments.environment).to_bytes())
    except EnvironmentFailed as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
