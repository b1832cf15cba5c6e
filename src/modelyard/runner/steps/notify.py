"""The job `decision.notify`: a decision as JSON, by one POST."""

from collections.abc import Mapping

import httpx

from modelyard.core import Problem
from modelyard.reactions.notice import host_of, notice_of
from modelyard.reactions.service import get_decision
from modelyard.runner.context import StepContext
from modelyard.version import __version__

TIMEOUT_S = 10.0  # to connect, to send, and until the first byte of the answer
LATER = (408, 425, 429)  # client errors that ask for another try


def notify(context: StepContext) -> Mapping[str, object]:
    """Send the decision that the payload names to its address.

    The decision's id goes along as `Idempotency-Key`: a notice whose answer was lost is sent again. What is answered is not
    read, and nothing that it points to is followed.

    Raises
    ------
    Problem
        `notice.unavailable` and `notice.timeout` when another try may do better; `notice.refused` when it would not.
    """
    payload = context.job.payload
    url, host = payload["url"], host_of(payload["url"])
    decision = get_decision(context.platform, context.actor, context.project, payload["decision"])
    headers = {"user-agent": f"modelyard/{__version__}", "idempotency-key": decision.id}
    try:
        with httpx.stream("POST", url, json=notice_of(decision), headers=headers, timeout=TIMEOUT_S) as answer:
            status = answer.status_code
    except httpx.TimeoutException as error:
        raise Problem("notice.timeout", f"{host} did not answer within {TIMEOUT_S:g} s", type(error).__name__) from error
    except httpx.TransportError as error:
        raise Problem("notice.unavailable", f"{host} cannot be reached", type(error).__name__) from error
    if not httpx.codes.is_success(status):
        kind = "unavailable" if httpx.codes.is_server_error(status) or status in LATER else "refused"
        raise Problem(
            f"notice.{kind}", f"{host} did not take the notice", f"it answered {status}", "look at the rule's address"
        )
    return {"decision": decision.id, "host": host, "status": status}
