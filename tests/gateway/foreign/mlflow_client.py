"""Ask by MLflow's own client of its scoring server, as it is published: what stdin says, a JSON object to stdout."""

import json
import sys

import numpy as np
import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient


def main() -> None:
    """Ask with a data frame and with records."""
    told = json.load(sys.stdin)
    client = ScoringServerClient(f"token:{told['token']}@{told['host']}", f"{told['port']}/mlflow/delay")
    client.wait_server_ready(timeout=10)
    frame = pd.DataFrame(told["rows"])
    frame["at"] = pd.to_datetime(frame["at"])
    by_frame = client.invoke(frame, params={"temperature": 0})
    found = {
        "version": client.get_version(),
        "frame": by_frame.get_predictions("ndarray").tolist(),
        "table": by_frame.get_predictions()[0].tolist(),
        "ignored": by_frame["modelyard"]["ignored"],
        "records": client.invoke(told["rows"]).get_predictions("ndarray", np.float64).tolist(),
    }
    try:
        client.invoke(frame.drop(columns=["wind"]))
    except Exception as error:
        found["refusal"] = str(error)
    json.dump(found, sys.stdout)


main()
