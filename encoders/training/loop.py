"""The training loop of every recipe: steps, log, checkpoints, evaluation, early stop."""

from __future__ import annotations

import logging
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch

from ...core.errors import BadArguments, FailedWhileRunning
from ..folded.model import FoldedModel
from .checkpoint import read_checkpoint, write_checkpoint
from .log import LOG, TrainingLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from ...core.progress import Progress
    from .recipe import Lessons
    from .spec import ScheduleSpec

    Evaluate = Callable[[], Mapping[str, float]]

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
_LOG_EVERY = 50  # steps whose losses are averaged to one line
_BETAS = (0.9, 0.98)
_WEIGHT_SHARE, _OUTPUT_SHARE = 4.0, 0.3


@dataclass
class _Position:
    """Where a run is: what a checkpoint says beside the tensors."""

    step: int = 0
    best: float = -math.inf
    best_step: int = 0
    worse: int = 0
    seconds: float = 0.0
    fingerprint: str = ""


class Plan(Protocol):
    """What the loop reads of a spec. ``fingerprint`` changes when anything about the run does."""

    @property
    def schedule(self) -> ScheduleSpec: ...

    @property
    def fingerprint(self) -> str: ...


def train(
    recipe: Lessons,
    spec: Plan,
    folder: Path,
    *,
    evaluate: Evaluate | None = None,
    progress: Progress,
) -> None:
    """Train ``recipe.trainee`` in place; ``folder`` keeps checkpoint and log, and is made.

    With a checkpoint of the same spec there, go on from it: the weights at the end are those of an
    unbroken run, bit for bit on a CPU with as many threads. ``evaluate`` gives named measures of
    the model as it is now, the higher the better; their mean decides which weights are kept when
    ``patience`` is set. BadArguments for a checkpoint of another spec; FailedWhileRunning when the
    loss is no number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    module, schedule = recipe.trainee.module, spec.schedule
    optimizer = _optimizer(module, schedule)
    position = _Position(fingerprint=spec.fingerprint)
    if (folder / CHECKPOINT).is_file():
        position = _Position(**read_checkpoint(folder / CHECKPOINT, module, optimizer))
        if position.fingerprint != spec.fingerprint:
            raise BadArguments(
                f"{folder} holds the checkpoint of another spec: take the old spec to go on, "
                f"another folder, or delete {folder / CHECKPOINT}"
            )
        log.warning("going on from step %d of %d", position.step, recipe.steps)
    run = _Run(recipe, schedule, folder, optimizer, position, evaluate)
    with progress.stage("train", recipe.steps) as advance:
        advance(position.step)
        if not run.is_over():  # a run that had stopped early was killed before it was saved
            run.steps(advance, progress.note)
    run.keep_best()


class _Run:
    def __init__(
        self,
        recipe: Lessons,
        schedule: ScheduleSpec,
        folder: Path,
        optimizer: torch.optim.Optimizer,
        position: _Position,
        evaluate: Evaluate | None,
    ) -> None:
        self.recipe, self.schedule, self.folder = recipe, schedule, folder
        self.module = recipe.trainee.module
        self.optimizer, self.position, self.evaluate = optimizer, position, evaluate
        self.log = TrainingLog(folder / LOG, position.step)
        self.sums: dict[str, Tensor] = {}
        self.summed = 0
        self.note: Callable[[str], None] = _unsaid

    def steps(self, advance: Callable[[int], None], note: Callable[[str], None]) -> None:
        self.module.train()
        self.note = note
        began = time.perf_counter() - self.position.seconds
        for batch in _ahead(self.recipe.batches(self.position.step)):
            self._step(batch)
            self.position.step += 1
            self.position.seconds = time.perf_counter() - began
            advance(1)
            if self._after():
                break

    def _step(self, batch: Any) -> None:
        factor = rate_factor(self.position.step, self.recipe.steps, self.schedule.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        losses = self.recipe.losses(batch)
        loss = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.schedule.clip:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.schedule.clip)
        self.optimizer.step()
        self.summed += 1
        for name, value in {**losses, "loss": loss}.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()

    def _after(self) -> bool:
        """Log, evaluate, keep a checkpoint, as the step asks; True to stop early."""
        step, schedule = self.position.step, self.schedule
        last = step == self.recipe.steps
        if step % _LOG_EVERY == 0 or last:
            self._write_losses()
        stop = False
        if schedule.evaluate_every and (step % schedule.evaluate_every == 0 or last):
            stop = self._evaluate()
        if schedule.checkpoint_every and (step % schedule.checkpoint_every == 0 or last or stop):
            write_checkpoint(
                self.folder / CHECKPOINT, self.module, self.optimizer, vars(self.position)
            )
        return stop

    def _write_losses(self) -> None:
        means = {name: float(total) / self.summed for name, total in self.sums.items()}
        self.sums, self.summed = {}, 0
        self.log.write(self.position.step, self.position.seconds, means)
        self.note(_in_words(means))
        if not math.isfinite(means["loss"]):
            raise FailedWhileRunning(
                f"the loss is {means['loss']} at step {self.position.step}: try a smaller rate; "
                f"the last checkpoint is {self.folder / CHECKPOINT}"
            )

    def _evaluate(self) -> bool:
        found = dict(self.recipe.watch())
        if self.evaluate is not None:
            measures = self.evaluate()
            found |= measures
            found["mean"] = sum(measures.values()) / len(measures)
        self.module.train()
        self.log.write(self.position.step, self.position.seconds, found)
        log.info("step %d: %s", self.position.step, _in_words(found))
        return self._is_patience_over(found["mean"]) if "mean" in found else False

    def _is_patience_over(self, mean: float) -> bool:
        if mean > self.position.best:
            self.position.best, self.position.best_step = mean, self.position.step
            self.position.worse = 0
            if self.schedule.patience:
                write_checkpoint(
                    self.folder / BEST, self.module, self.optimizer, vars(self.position)
                )
            return False
        self.position.worse += 1
        return self.is_over()

    def is_over(self) -> bool:
        """Whether patience has run out."""
        return 0 < self.schedule.patience <= self.position.worse

    def keep_best(self) -> None:
        """With patience, the weights of the best evaluation are the result."""
        if self.schedule.patience and (self.folder / BEST).is_file():
            read_checkpoint(self.folder / BEST, self.module, self.optimizer)


def _unsaid(words: str) -> None:
    """Nobody watches."""
    del words


def _in_words(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())


def rate_factor(step: int, steps: int, warmup: int) -> float:
    """Of the learning rate: rising over ``warmup`` steps, then half a cosine down to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _optimizer(module: nn.Module, schedule: ScheduleSpec) -> torch.optim.Optimizer:
    """Tables (a row for each word piece) have a rate of their own, and no decay."""
    tables = {id(p) for m in module.modules() for p in _tables_of(m)}
    shares = _shares_of(module)
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for parameter in module.parameters():
        if parameter.requires_grad:
            kind = id(parameter) in tables, shares.get(id(parameter), 1.0)
            groups.setdefault(kind, []).append(parameter)
    described = [
        {
            "params": parameters,
            "peak": share * (schedule.table_rate if of_table else schedule.rate),
            "weight_decay": 0.0 if of_table else schedule.weight_decay,
        }
        for (of_table, share), parameters in groups.items()
    ]
    return torch.optim.AdamW(described, lr=0.0, betas=_BETAS, fused=True)


def _shares_of(module: nn.Module) -> dict[int, float]:
    """Parameters of a folded student that move at a part of their group's rate.

    What the pooled states of all texts have in common is larger than what tells them apart: at
    the full rate one step of the output moves every vector by as much as its own entries.
    """
    if not isinstance(module, FoldedModel):
        return {}
    shares = {id(module.weight): _WEIGHT_SHARE}
    if module.output is not None:
        shares[id(module.output)] = _OUTPUT_SHARE
    return shares


def _tables_of(module: nn.Module) -> Iterator[nn.Parameter]:
    if isinstance(module, torch.nn.Embedding):
        yield cast("torch.nn.Parameter", module.weight)
    elif isinstance(module, FoldedModel):
        yield from (module.embedding, module.weight)


def _ahead(batches: Iterator[Any]) -> Iterator[Any]:
    """The same, each made in a thread while the one before is in use."""
    nothing = object()
    with ThreadPoolExecutor(1, "batches") as thread:
        coming = thread.submit(next, batches, nothing)
        while (batch := coming.result()) is not nothing:
            coming = thread.submit(next, batches, nothing)
            yield batch
