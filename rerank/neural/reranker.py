"""A neural ranker as a stage of the cascade."""

from __future__ import annotations

from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.fingerprints import of_value
from ...kernels.device import check_device
from .model_folder import load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...core.protocols import Candidates
    from ...core.records import Float32Array
    from .scorer import Scorer
    from .words import Pieces


class NeuralReranker:
    """A trained ranker; ``name`` is that of its model and folder. Scores are unbounded numbers.

    They depend on the pair alone; other company in a batch moves them by 1e-5 at most. What of a
    text is longer than the model reads is left out.
    """

    pointwise = True

    def __init__(self, scorer: Scorer, *, name: str, keep: int = 100) -> None:
        self.scorer, self.name, self.keep = scorer, name, keep

    @classmethod
    def load(
        cls,
        folder: Path | str,
        pieces: Callable[[Path], Pieces],
        *,
        keep: int = 100,
        device: str = "cpu",
    ) -> NeuralReranker:
        """From the folder that training wrote; ``pieces`` opens its tokenizer. Raises what
        ``model_folder.load`` raises; BadArguments when the device is not there."""

        check_device(device)
        scorer = load(folder, pieces, device=device)
        return cls(scorer, name=f"{scorer.spec.model} ({Path(folder).name})", keep=keep)

    @cached_property
    def fingerprint(self) -> str:
        """Of the settings, the weights and the words, wherever they came from."""
        words, spec = self.scorer.words, self.scorer.spec
        arrays = {
            name: x.detach().cpu().numpy() for name, x in self.scorer.model.state_dict().items()
        }
        arrays |= {"directions": words.directions, "lengths": words.weights}
        hashes = {name: sha256(each.tobytes()).hexdigest() for name, each in arrays.items()}
        return of_value([spec.to_json(), words.pieces.to_json(), hashes])

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        return self.scorer.score(batch)
