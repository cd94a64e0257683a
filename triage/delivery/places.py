"""Places of the messages to be delivered, as entries of the store: no state in memory is needed to go on.

    marks/<destination>/<study>           the study has a decision that this destination has not been told of
    outbox/<destination>/<due>+<tries>+<number>+<study>+<revision>
                                          the bytes to send, built once; the name says when it is next tried
    undeliverable/<destination>/<study>+<revision>    given up; a person can requeue it
    undeliverable/<destination>/<study>               a result that could not be built, with the error
    unread/<destination>/<study>          its images cannot be read: since when, or that it was told of without them
    deliveries of the study: <destination>+<number>.json    the record: its content and its state
                             <destination>+<number>.sent    the bytes, once they are acknowledged

A listing of ``outbox/<destination>`` says what is due: no entry is read to find out that nothing is.
"""

from __future__ import annotations

MARKS, OUTBOX, DEAD = TOPS = ("marks", "outbox", "undeliverable")

UNREAD = "unread"
