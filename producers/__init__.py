"""What an agent needs to reach its facilitators: ``HintPublisher``, and the ``hint`` command."""

from producers.publisher import HintPublisher, Sent

__all__ = ["HintPublisher", "Sent"]
