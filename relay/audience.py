"""What follows from facilitators' coming and going."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.attendance import Attendance
    from relay.reader import Facilitator
    from relay.receipts import Receipts
    from relay.room import Room


class Audience:
    """Hands on what the hub notices: to who is watching, and to the receipts."""

    def __init__(self, attendance: Attendance, receipts: Receipts) -> None:
        self._attendance = attendance
        self._receipts = receipts

    # hub.Observer

    def came(self, room: Room, facilitator: Facilitator) -> None:
        """Somebody has joined."""
        del facilitator
        self._attendance.came(room)

    def went(self, room: Room, facilitator: Facilitator) -> None:
        """Somebody has left."""
        self._attendance.went(room)
        self._receipts.note_served(room, facilitator)

    def report_wanted(self, room: Room) -> None:
        """An agent wants to know how far everybody has been served."""
        self._receipts.ask(room)

    def link_up(self) -> None:
        """Redis was away, and is back."""
        self._attendance.report_all()
