"""`python -m deploy.cloud`: the whole system on a local AWS, deployed from its own templates.

What is deployed is what AWS would get, but for the processor that native code is compiled for.
MiniStack is the AWS; where a stage has a shared cache, a Redis of this machine is that.
"""

import argparse
import contextlib
import json
import mimetypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from deploy import ministack
from deploy.artefacts import BUILD, HERE, build
from deploy.local import Deployment, Template, client, deploy
from deploy.stages import PRIMARY_REGION, STAGES, Stage

STATIC = Path(__file__).parents[1] / "src" / "trinity" / "embedded" / "static"


@contextlib.contextmanager
def running(
    stage: Stage,
    folder: Path,
    *,
    assembly: Path | None = None,
    patch: Callable[[str, Template], None] | None = None,
    port: int = 0,
    **settings: str,
) -> Iterator[Deployment]:
    """Deploy a stage to a local AWS of its own, and let it run while the block is at work.

    Args:
        stage: which.
        folder: for files of the emulator.
        assembly: its templates, if they have been written already.
        patch: see `local.deploy`.
        port: of the local AWS; 0 takes a free one.
        settings: more variables of the functions, without `TRINITY_`: `RATE_LIMITS="off"`.

    Raises:
        DeploymentFailed: the local AWS did not take a template.
    """
    if assembly is None:
        assembly = folder / "cdk.out"
        build(HERE)
        _synthesise(stage, assembly)

    with contextlib.ExitStack() as stack:
        cache = stack.enter_context(_redis(folder)) if stage.redis else None

        def all_patches(name: str, template: Template) -> None:
            for resource in template["Resources"].values():
                if resource["Type"] == "AWS::Lambda::Function":
                    _set(resource["Properties"], cache, settings)
            if patch is not None:
                patch(name, template)

        endpoint = stack.enter_context(ministack.running(folder, port=port, AUTH="true"))
        deployment = deploy(assembly, endpoint, patch=all_patches)
        _begin(deployment, stage)
        yield deployment


def _synthesise(stage: Stage, assembly: Path) -> None:
    """Write the templates of a stage, in a process that takes CDK's Node.js with it when it ends.

    Raises:
        RuntimeError: it could not be done.
    """
    arguments = [
        "--stage",
        stage.name,
        "--built",
        str(BUILD / HERE.name),
        "--output",
        str(assembly),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.app", *arguments],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C is for us, and we end all of it
    )
    try:
        told, _ = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if process.returncode:
        raise RuntimeError(f"the templates could not be written:\n{told}")


def deployed(stage: Stage, endpoint: str | None) -> Deployment:
    """Return a stage that was deployed before.

    Args:
        stage: which.
        endpoint: of a local AWS; None: the account that the credentials of this machine are of.
    """
    import boto3

    cloudformation = (
        client(endpoint, "cloudformation")
        if endpoint
        else boto3.client("cloudformation", region_name=PRIMARY_REGION)
    )
    outputs: dict[str, str] = {}
    for part in ("data", "edge"):
        name = f"trinity-{stage.name}-{part}"
        (found,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        outputs |= {one["OutputKey"]: one["OutputValue"] for one in found["Outputs"]}
    deployment = Deployment(endpoint or "", outputs)
    if endpoint:
        (api,) = client(endpoint, "apigatewayv2").get_apis()["Items"]
        deployment.api_id = api["ApiId"]
    return deployment


def _set(function: dict[str, Any], cache: str | None, settings: dict[str, str]) -> None:
    """Give a function its settings, and where the cache really is."""
    variables = function["Environment"]["Variables"]
    variables |= {f"TRINITY_{name}": value for name, value in settings.items()}
    if "TRINITY_REDIS_URL" in variables and cache is not None:
        variables["TRINITY_REDIS_URL"] = cache
        del function["VpcConfig"]  # there are no networks here


def _begin(deployment: Deployment, stage: Stage) -> None:
    """Do what comes after a first deployment: make the first key, put the page where it is."""
    answer = client(deployment.endpoint, "lambda").invoke(
        FunctionName=f"trinity-{stage.name}-rotate_keys",
        Payload=json.dumps({"schedule": "rotate_keys", "time": "2026-01-01T00:00:00Z"}).encode(),
    )
    if "FunctionError" in answer:
        raise RuntimeError(f"rotate_keys failed: {answer['Payload'].read().decode()}")
    s3 = client(deployment.endpoint, "s3")
    for file in STATIC.rglob("*"):
        if file.is_file():
            s3.put_object(
                Bucket=deployment.outputs["WebBucket"],
                Key=file.relative_to(STATIC).as_posix(),
                Body=file.read_bytes(),
                ContentType=mimetypes.guess_type(file)[0] or "application/octet-stream",
            )


@contextlib.contextmanager
def _redis(folder: Path) -> Iterator[str]:
    """Run a Redis of this machine and yield its URL.

    Raises:
        RuntimeError: none is installed.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise RuntimeError("this stage needs redis-server: apt-get install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def main() -> int:
    """Deploy, say where it is, and wait for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m deploy.cloud", description=__doc__)
    parser.add_argument("--stage", choices=sorted(STAGES), default="dev", help="default: dev")
    parser.add_argument("--port", type=int, default=4566, help="of the local AWS (default: 4566)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # what was started is ended then, too
    print("Building functions, writing templates, deploying …", flush=True)
    serving = False
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            running(STAGES[options.stage], Path(folder), port=options.port) as deployment,
        ):
            _announce(deployment)
            serving = True
            threading.Event().wait()
    except KeyboardInterrupt:
        return 0 if serving else 130
    except RuntimeError as error:
        print(f"cloud: {error}", file=sys.stderr)
    return 1


def _announce(deployment: Deployment) -> None:
    resources = sum(map(len, deployment.resources.values()))
    print(f"{resources} resources in {len(deployment.resources)} stacks")
    left_out = sorted({kind for gone in deployment.stubbed.values() for kind in gone.values()})
    print(f"  left out, what the local AWS lacks of these kinds: {', '.join(left_out)}")
    print(f"HTTP API   {deployment.url}/api/health")
    print(f"GraphQL    {deployment.graphql_url}")
    print(f"AWS        {deployment.endpoint}")
    print("stop: Ctrl-C", flush=True)


if __name__ == "__main__":
    sys.exit(main())
