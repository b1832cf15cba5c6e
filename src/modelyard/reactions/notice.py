"""Notices: a decision told to an address outside, by a job, which tries again while nobody answers there."""

from urllib.parse import urlsplit

from modelyard.core import JsonObject, Problem, to_text
from modelyard.jobs import Job, Limits
from modelyard.jobs.service import submit
from modelyard.reactions.ports import Ports
from modelyard.reactions.types import Decision
from modelyard.tenancy import Actor

NOTIFY_JOB = "decision.notify"
TRIES = 10  # some nine minutes, by the pauses between the tries of a job
PRIORITY = 20  # before whatever is trained
LIMITS = Limits(time_s=60)
SCHEMES = ("http", "https")


def send_notice(ports: Ports, actor: Actor, decision: Decision, url: str) -> Job:
    """Queue the telling of a decision, in the transaction that made it; a decision is told once."""
    return submit(
        ports,
        actor,
        decision.project,
        kind=NOTIFY_JOB,
        title=f"tell {host_of(url)} of {decision.action.value} on {decision.deployment}",
        payload={"decision": decision.id, "url": url},
        cause=decision.id,
        priority=PRIORITY,
        max_attempts=TRIES,
        limits=LIMITS,
    )


def host_of(url: str) -> str:
    """Return the host of an address that notices may be sent to.

    >>> host_of("https://hooks.example/T0/B1?x=1")
    'hooks.example'

    Raises
    ------
    Problem
        `policy.invalid` for another scheme than http and https, for one without a host, and for one with a name or password.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise _unusable(str(error)) from error
    if parts.scheme not in SCHEMES:
        raise _unusable(f"its scheme is '{parts.scheme[:20]}', and notices go by {' or '.join(SCHEMES)}")
    if not host or any(not sign.isprintable() or sign.isspace() for sign in url):
        raise _unusable("it names no host" if not host else "it holds a blank")
    if "@" in parts.netloc:
        raise _unusable("it holds a name or password, which all who may read the policy would see")
    return host


def notice_of(decision: Decision) -> JsonObject:
    """Return what is told of a decision: all of it but the evidence, which may quote code and rows, and stays here."""
    return {
        "id": decision.id,
        "project": decision.project,
        "policy": decision.policy,
        "deployment": decision.deployment,
        "action": decision.action.value,
        "cause": decision.cause,
        "version": decision.version,
        "told": decision.told,
        "by": decision.by,
        "at": to_text(decision.at),
    }


def _unusable(why: str) -> Problem:
    return Problem("policy.invalid", "Notices cannot be sent to this address", why, '.notify("https://hooks.example/…")')
