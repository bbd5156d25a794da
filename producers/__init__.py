"""What an agent needs to reach its facilitators: ``HintPublisher``, and the ``hint`` command."""

from producers.publisher import HintPublisher, Sent
from producers.receipts import Receipt
from producers.streaming import StreamingHint
from producers.sync import SyncHintPublisher, SyncStreamingHint
from relay.errors import HintCancelled, HintEnded

__all__ = [
    "HintCancelled",
    "HintEnded",
    "HintPublisher",
    "Receipt",
    "Sent",
    "StreamingHint",
    "SyncHintPublisher",
    "SyncStreamingHint",
]
