"""Small functions that show whether an engine does what the system tests need."""

import json
from typing import Annotated

import anyio
import dagger
from dagger import Doc, dag, function, object_type


@object_type
class Probe:
    """The engine's parts, one function each."""

    @function
    def hello(self, name: str) -> str:
        """Answer without a container."""
        return f"hello {name}"

    @function
    async def entries(self, source: dagger.Directory) -> list[str]:
        """List a folder of the caller's machine."""
        return await source.entries()

    @function
    async def run(
        self,
        commands: Annotated[dagger.File, Doc("JSON: name, image and arguments of each")],
    ) -> str:
        """Run tools in their images, all at once; JSON with what each one printed."""
        printed: dict[str, str] = {}

        async def one(name: str, image: str, arguments: list[str]) -> None:
            container = dag.container().from_(image)
            # Some public images name their program as the entry point, some have it on the path.
            named = bool(await container.entrypoint())
            ran = container.with_exec(arguments, use_entrypoint=named)
            printed[name] = await ran.combined_output()

        async with anyio.create_task_group() as group:
            for command in json.loads(await commands.contents()):
                group.start_soon(one, command["name"], command["image"], command["arguments"])
        return json.dumps(printed)

    @function
    async def build(self, base: str, source: dagger.Directory) -> dagger.File:
        """Build a Dockerfile that installs from the package index; the image as a tarball."""
        arguments = [dagger.BuildArg("BASE", base)]
        return source.docker_build(build_args=arguments).as_tarball()

    @function
    async def publish(self, base: str, address: str) -> str:
        """Push an image to the registry beside the engine."""
        image = dag.container().from_(base).with_new_file("/note", "made by a test")
        return await image.publish(address)

    @function
    async def serve(self, base: str) -> str:
        """Bind a service and read from it over the containers' network."""
        server = dag.container().from_(base).with_workdir("/etc").with_exposed_port(8000)
        service = server.as_service(args=["python3", "-m", "http.server", "8000"])
        read = "import urllib.request as r; print(r.urlopen('http://server:8000/hostname').status)"
        client = dag.container().from_(base).with_service_binding("server", service)
        return await client.with_exec(["python3", "-c", read]).stdout()

    @function
    def refuse(self) -> str:
        """Fail with a message."""
        raise ValueError("the policy refused the deployment")

    @function(cache="never")
    async def fail_in_container(self, base: str) -> str:
        """Fail as a container does, with its exit code."""
        return await dag.container().from_(base).with_exec(["sh", "-c", "exit 7"]).stdout()
