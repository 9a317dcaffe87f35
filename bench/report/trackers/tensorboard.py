"""TensorBoard as an experiment tracker: one run for each record."""

from __future__ import annotations

from pathlib import Path

from distillbench.bench.report.trackers.base import Tracker, package, parameters, scalars
from distillbench.bench.store.records import Record
from distillbench.common.atomic import write_atomically
from distillbench.common.errors import UserError

MARK = "distillbench.txt"
"""A file in a run's folder that identifies the record of the run."""


class TensorBoard(Tracker):
    """Event files beneath a folder, in the same subfolders as the records."""

    def __init__(self, folder: Path) -> None:
        package("tensorboard", "tensorboard", "--tensorboard")
        self.folder = folder

    def write(self, record: Record) -> bool:
        try:
            return self._write(record)
        except OSError as error:
            raise UserError(f"{self.folder} cannot be written ({error.strerror or error})", "--tensorboard") from error

    def _write(self, record: Record) -> bool:
        from torch.utils.tensorboard import SummaryWriter

        place = self.folder / record.path.relative_to("records").with_suffix("")
        mark, identity = place / MARK, f"{record.config_hash} {record.created.isoformat()}\n"
        if mark.exists() and mark.read_text(encoding="utf-8") == identity:
            return False
        if mark.exists():  # another record's; files of other programs are left alone
            for old in place.glob("events.out.tfevents.*"):
                old.unlink()
        writer = SummaryWriter(str(place))
        for name, step, value in scalars(record):
            writer.add_scalar(name, value, step)
        lines = (f"    {name} = {value}" for name, value in parameters(record).items())
        writer.add_text("configuration", "\n".join(lines))
        writer.close()
        write_atomically(mark, identity.encode())
        return True
