"""MLflow as an experiment tracker: one run for each record."""

from __future__ import annotations

from typing import Any

from distillbench.bench.report.trackers.base import Tracker, package, parameters, scalars
from distillbench.bench.store.records import Record
from distillbench.common.errors import UserError

LONGEST = 500
"""The longest parameter, in characters, that every version of MLflow takes."""
HASH = "distillbench.hash"
"""The tag that identifies the record of a run."""


class MLflow(Tracker):
    """An experiment on a tracking server, or in a folder or database (``sqlite:///runs.db``)."""

    def __init__(self, uri: str, experiment: str) -> None:
        mlflow = package("mlflow", "mlflow", "--mlflow")
        self.entities: Any = package("mlflow.entities", "mlflow", "--mlflow")
        try:
            self.client: Any = mlflow.MlflowClient(tracking_uri=uri)
            known = self.client.get_experiment_by_name(experiment)
            self.experiment = known.experiment_id if known else self.client.create_experiment(experiment)
        except Exception as error:  # a server has many ways to refuse
            raise UserError(f"{uri}: {type(error).__name__}: {error}", "--mlflow") from error

    def write(self, record: Record) -> bool:
        try:
            return self._write(record)
        except Exception as error:  # a server may go away at any time
            raise UserError(f"{record.name}: {type(error).__name__}: {error}", "--mlflow") from error

    def _write(self, record: Record) -> bool:
        identity = f"{record.config_hash} {record.created.isoformat()}"
        if self.client.search_runs([self.experiment], f"tags.`{HASH}` = '{identity}'", max_results=1):
            return False
        tags = {"task": record.task, "pair": record.pair, "label": record.label, "status": record.status}
        run = self.client.create_run(self.experiment, run_name=record.name, tags=tags).info.run_id
        at = int(record.created.timestamp() * 1000)
        metrics = [self.entities.Metric(name, value, at, step) for name, step, value in scalars(record)]
        settings = [self.entities.Param(name, value[:LONGEST]) for name, value in parameters(record).items()]
        self.client.log_batch(run, metrics=metrics, params=settings)
        self.client.set_tag(run, HASH, identity)  # last: an interrupted run is written again
        self.client.set_terminated(run, "FINISHED" if record.failure is None else "FAILED")
        return True
