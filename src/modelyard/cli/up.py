"""`yard up`."""

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelyard.cli.command import Home, Json
from modelyard.cli.output import say

if TYPE_CHECKING:
    from modelyard.embedded.family import Addresses
    from modelyard.embedded.scaling import Scale

USUAL_PORT = 7878
MOST_GATEWAYS = 256

WAKE_S = 0.5


def up(
    *,
    home: Home = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of console and API; 0: a free one.")] = USUAL_PORT,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    gateway_port: Annotated[int, typer.Option(min=0, max=65535, help="Of predictions; 0: a free one.")] = 0,
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, help="Of predictions by gRPC; 0: a free one.")] = 0,
    gateways: Annotated[
        str, typer.Option(metavar="N or N-M", help="Gateway processes that share the ports of predictions; N-M: by the load.")
    ] = "1",
    full_cpu: Annotated[
        float | None, typer.Option(min=0.01, help="Share of a core at which a gateway counts as full; else 0.8.")
    ] = None,
    latency_aim_ms: Annotated[
        float | None, typer.Option(min=0.001, help="A gateway counts as full, too, when 5 % of its answers take longer.")
    ] = None,
    quiet_s: Annotated[float, typer.Option(min=0, help="For so long the others have to have room before one is ended.")] = 60,
    memory_mb: Annotated[
        float | None, typer.Option(min=1, help="MiB for the versions in all gateways; else half of this machine's memory.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="How many worker processes.")] = 2,
    open_to_network: Annotated[
        bool, typer.Option("--open-to-network", help="Listen on other than loopback, although nothing here is encrypted.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start the platform, and keep it up until SIGTERM or Ctrl-C.

    The first start in a home prints a token; make others with `yard token create`, on this machine and with this home.
    """
    from modelyard.core.stop import Stop
    from modelyard.embedded.family import Full, Plan, running

    check_host(host, open_to_network=open_to_network)
    scale, full = read_scale(gateways, quiet_s), Full(full_cpu, latency_aim_ms)
    plan = Plan(_home(home), host, port, gateway_port, workers, grpc_port, scale, full, memory_mb)
    stop = Stop()
    stopping: list[int] = []

    def ask(number: int, frame: Any) -> None:
        stopping.append(number)
        stop.set()
        if len(stopping) == 1 and not answering:
            raise KeyboardInterrupt  # also while it starts

    answering: list[Addresses] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    try:
        with running(plan, say) as addresses:
            answering.append(addresses)
            _tell(addresses, plan.home, as_json)
            while not stop.wait(WAKE_S):  # a signal that another thread was given is only seen when this one wakes
                pass
            say("ending")
    except KeyboardInterrupt:
        say("ended while starting")


def read_scale(text: str, quiet_s: float) -> "Scale":
    """Return how many gateways `2`, or from how many to how many `1-4` is.

    Raises
    ------
    Problem
        `gateways.invalid`.
    """
    from modelyard.core import Problem
    from modelyard.embedded.scaling import Scale

    least, _, most = (text if "-" in text else f"{text}-{text}").partition("-")
    if not (least.isdecimal() and most.isdecimal() and 1 <= int(least) <= int(most) <= MOST_GATEWAYS):
        why = f"it is a number, or the least and the most with - between them, from 1 to {MOST_GATEWAYS}"
        raise Problem("gateways.invalid", f"--gateways {text!r} cannot be read", why, "name for example 2, or 1-4")
    return Scale(int(least), int(most), quiet_s)


def check_host(host: str, *, open_to_network: bool) -> None:
    """Return when `host` is this machine's own, or somebody said that it may be another.

    Raises
    ------
    Problem
        `host.refused`.
    """
    from modelyard.core import Problem
    from modelyard.embedded.family import LOOPBACK

    if host in LOOPBACK:
        return
    if not open_to_network:
        why = "tokens and rows would travel over the network in plain text"
        step = "put a proxy with TLS before it, or add --open-to-network if you are sure"
        raise Problem("host.refused", f"{host} is not loopback", why, step)
    say(f"warning: listening on {host}: tokens and rows travel in plain text to whoever reaches this machine")


def _home(told: str | None) -> Path:
    from modelyard.wiring.settings import read_settings

    return read_settings(home=Path(told) if told else None).home


def _tell(addresses: "Addresses", home: Path, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(asdict(addresses)) + "\n")
        sys.stdout.flush()
        return
    lines = [f"console and API  {addresses.url}", f"predictions      {addresses.gateway}"]
    if addresses.grpc is not None:
        lines.append(f"by gRPC          {addresses.grpc}")
    lines.append(f"home             {home}")
    if addresses.token is not None:
        lines.append(f"token            {addresses.token}   (shown this once)")
    else:
        lines.append("token            as before; a further one: yard token create NAME")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
