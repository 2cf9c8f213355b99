"""What an engine reaches of what the pipeline needs in containers."""

from __future__ import annotations

import anyio

from pipeline.places.containers.place import ContainerPlace
from pipeline.tools.images import MADE


async def report(place: ContainerPlace) -> str:
    """One line a tool: its image, and the version that the program in it tells."""
    images = place.runtime.images
    names = sorted({*images.by_name, *MADE})
    versions: dict[str, str | None] = {}

    async def look(name: str) -> None:
        versions[name] = await place.runtime.version(name)

    async with anyio.create_task_group() as group:
        for name in names:
            group.start_soon(look, name)
    width = max(map(len, names))
    lines = []
    for name in names:
        image = images.of(name)
        source = image.reference if image else "python with requirements/scanners.txt"
        state = "ok" if versions[name] else "MISSING"
        lines.append(f"{state:<7}  {name:<{width}}  {versions[name] or '-':<12}  {source}")
    missing = [name for name in names if not versions[name]]
    lines.append(
        f"{len(missing)} of {len(names)} tools cannot be had: name images that this engine reaches "
        "in a file for --images."
        if missing
        else "Everything is here."
    )
    return "\n".join(lines)
