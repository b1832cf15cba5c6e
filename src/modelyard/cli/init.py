"""`yard init`: a small project that runs at once."""

from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.command import Json
from modelyard.cli.output import say, show
from modelyard.core import Problem, check_name

MAKE_DATA = '''"""Sample data: customers of a telephone company, some of whom leave. Replace it by your own."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

ROWS = 4_000


def customers(seed: int = 7) -> pl.DataFrame:
    """Return made-up customers; the shorter the contract and the higher the charge, the more of them leave."""
    draw = random.Random(seed)
    rows = []
    for number in range(ROWS):
        contract = draw.choice(["monthly", "yearly", "two years"])
        tenure = draw.randint(1, 72)
        monthly = round(draw.uniform(20, 110), 2)
        chance = {"monthly": 0.45, "yearly": 0.15, "two years": 0.04}[contract] + (monthly - 65) / 300 - tenure / 400
        rows.append(
            {
                "customer_id": f"c{number:05d}",
                "signed_at": datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=2 * number),
                "tenure": tenure if draw.random() > 0.02 else None,
                "total": round(monthly * tenure, 2),
                "contract": contract,
                "payment": draw.choice(["card", "transfer", "invoice"]),
                "churned": int(draw.random() < chance),
            }
        )
    return pl.DataFrame(rows)


if __name__ == "__main__":
    path = Path(__file__).parent / "customers.parquet"
    customers().write_parquet(path)
    print(f"wrote {path}")
'''

TRAIN = '''"""From rows to a model that answers: python make_data.py, then python train.py.

It runs inside this process. With MODELYARD_URL and MODELYARD_TOKEN set (see yard up) the same file works on a server.
"""

from pathlib import Path

import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

import modelyard as yard
from modelyard import Float, Search, prep, quality

project = yard.project("NAME")


@project.step
def per_month(rows):
    """Charge per month of tenure."""
    return rows.with_columns(per_month=pl.col("total") / pl.col("tenure").clip(1))


features = project.pipeline(
    prep.drop("customer_id", "signed_at"),
    prep.fill_null("tenure", 0),
    per_month,
    prep.one_hot("contract", "payment"),
)


@project.trainer(features, label="churned", metric="roc_auc")
def train(run, fit, test, depth: int = 4, rate: float = 0.1):
    """Return a classifier fitted on the prepared rows."""
    model = HistGradientBoostingClassifier(max_depth=depth, learning_rate=rate, random_state=run.seed)
    model.fit(fit.X, fit.y)
    run.log(roc_auc=roc_auc_score(test.y, model.predict_proba(test.X)[:, 1]))
    return model


def main() -> None:
    """Take the data once round: version, search, register, promote, deploy, ask."""
    customers = project.dataset(
        "customers",
        source=Path(__file__).parent / "customers.parquet",
        key="customer_id",
        time="signed_at",
        checks=[quality.not_null("customer_id", "churned"), quality.between("tenure", 0, 600)],
    )
    data = customers.snapshot()
    print(f"{data.ref}: {data.rows:,} rows")
    study = train.search(data, Search(depth=range(2, 7), rate=Float(0.02, 0.3, log=True)), trials=6)
    best = study.best
    print(f"best: {dict(best.params)}, roc_auc {best.metrics['roc_auc']:.3f}")
    version = project.model("NAME").register(best)
    version.promote("champion")
    service = project.deploy("NAME@champion")
    answer = service.predict({"tenure": 12, "total": 840.0, "contract": "monthly", "payment": "card"})
    print(f"{version.ref} says {float(answer):.3f}")


if __name__ == "__main__":
    main()
'''

FILES = {"make_data.py": MAKE_DATA, "train.py": TRAIN}


def init(
    name: Annotated[str, typer.Argument(help="Of the folder and of the project in it.")],
    as_json: Json = False,
) -> None:
    """Write a small project that runs at once: sample data, a trainer, a deployment."""
    folder = Path(name)
    project = check_name("project", folder.name)
    taken = [file for file in FILES if (folder / file).exists()]
    if taken:
        why = "nothing that is there is written over"
        raise Problem("file.exists", f"{folder / taken[0]} is there already", why, "name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in FILES.items():
        (folder / file).write_text(text.replace("NAME", project))
    show({"folder": str(folder), "files": list(FILES)}, as_json)
    if not as_json:
        say(f"next: cd {folder} && python make_data.py && python train.py")
