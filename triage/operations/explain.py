"""PURE: the page of `triage explain`: one study as text, for the person on call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, tzinfo
from itertools import pairwise

from pydicom.uid import UID

from triage.decision.reasons import Reason
from triage.decision.types import ImageAssessment, Tag, TriageDecision
from triage.delivery.record import NOT_READ, DeliveryState
from triage.model.points_file import PointsFile
from triage.operations.explain_findings import findings_of_image, findings_of_study
from triage.operations.explain_points import points_in_words
from triage.operations.explain_readers import claim_lines, shown_to
from triage.operations.trace import ObjectTrace, StudyTrace
from triage.operations.visible import visible

_WIDTH = 100


def explanation(trace: StudyTrace, now: float, zone: tzinfo | None = None, points: PointsFile | None = None) -> str:
    """Return the page.

    Args:
        trace: All records of the study.
        now: POSIX seconds.
        zone: The zone of the times that are shown; None: this machine's.
        points: The site's operating points as they are now.
    """
    lines = [
        f"Study {trace.study_instance_uid}",
        "",
        *_current(trace, now, zone),
        *_titled("Findings", _findings(trace)),
        *_titled("What it means", _meanings(trace)),
        *_titled("Corrections, newest first", _corrections(trace, zone)),
        *_titled("Shown to readers", _shown(trace, zone)),
        *_titled("Claims of the workitem", _claims(trace, zone)),
        *_titled("Deliveries", _deliveries(trace, zone)),
        *_titled("Waiting", _waiting(trace, now)),
        *_titled("Dead letters", _dead_letters(trace, zone)),
        *_titled(f"Objects ({len(trace.objects)})", _objects(trace, zone)),
        *_titled("Operating points", points_in_words(trace, points or PointsFile(), now, zone)),
        *_titled("History, newest first", _history(trace, zone)),
        *_titled("Models switched off", sorted(trace.disabled_models)),
    ]
    return "\n".join(map(visible, lines)).rstrip() + "\n"  # they hold text of images and peers


def _titled(title: str, lines: Iterable[str]) -> list[str]:
    content = [f"  {line}" if line else "" for line in lines]
    return ["", title.upper(), *content] if content else []


def _current(trace: StudyTrace, now: float, zone: tzinfo | None) -> Iterator[str]:
    decision = trace.decision
    if decision is None:
        yield "Not tagged yet."
        return
    yield f"Tag        {decision.tag.replace('_', ' ')}"
    yield f"Urgency    {decision.urgency.replace('_', ' ')}"
    own = f" (the order's own: {decision.order_priority})" if decision.order_priority else ""
    yield f"Priority   {decision.priority}{own}"
    yield f"Score      {_score(decision.probability)}" + (f" by {decision.model_id}" if decision.model_id else "")
    issuer = f" (issued by {decision.accession_issuer})" if decision.accession_issuer else ""
    yield f"Accession  {decision.accession_number or '(none)'}{issuer}"
    yield f"Received   {_moment(decision.received_at, zone)}, {_duration(now - decision.received_at)} ago"
    yield f"Tagged     {_moment(decision.tagged_at, zone)}"
    yield f"Because of {', '.join(decision.evidence) or 'no image'}"
    yield f"Reasons    {', '.join(decision.reasons) or 'none'}"
    yield f"Revision   {decision.revision[:16]}"


def _findings(trace: StudyTrace) -> Iterator[str]:
    for line in findings_of_study(trace.decision) if trace.decision else ():
        yield from _wrapped(line)


def _meanings(trace: StudyTrace) -> Iterator[str]:
    """Yield the meaning of each reason that occurs, the study's own first."""
    of_study = trace.decision.reasons if trace.decision else ()
    of_objects = [reason for each in trace.objects if each.assessment for reason in each.assessment.reasons]
    for reason in dict.fromkeys([*of_study, *of_objects]):
        yield from _wrapped(f"{reason}: {Reason(reason).meaning}")
    if trace.decision and trace.decision.tag is Tag.ABNORMAL:
        yield from _wrapped(
            "ABNORMAL: at least one finding that counts is at or above its operating point on an image."
        )
    if trace.decision and trace.decision.silent:
        yield from _wrapped(
            "Silent: it began while the site had results recorded alone (decision.silent), so it is not listed, raises "
            "nothing and goes to no destination. An image that comes once that is off lists it."
        )
    if trace.decision and trace.decision.prior:
        yield from _wrapped(
            "Prior: its images were taken long before they came (decision.prior_after_days), so no reader waits: "
            "it raises nothing, and no HL7 is sent."
        )


def _corrections(trace: StudyTrace, zone: tzinfo | None) -> Iterator[str]:
    """Yield who corrected what was said, when and why."""
    for act in reversed(trace.corrections):
        account = f" (account {act.account})" if act.account else ""
        yield from _wrapped(f"{_moment(act.at, zone)}  {act.status} by {act.by}{account}: {act.reason}")


def _shown(trace: StudyTrace, zone: tzinfo | None) -> Iterator[str]:
    for line in shown_to(trace.shown, lambda at: _moment(at, zone)):
        yield from _wrapped(line)


def _claims(trace: StudyTrace, zone: tzinfo | None) -> Iterator[str]:
    for line in claim_lines(trace.claims, lambda at: _moment(at, zone)):
        yield from _wrapped(line)


def _deliveries(trace: StudyTrace, zone: tzinfo | None) -> Iterator[str]:
    """Yield each delivery and its attempts."""
    for record in trace.deliveries:
        identity = ", ".join(f"{name} {value}" for name, value in record.identity.items() if "class" not in name)
        built = _moment(record.built_at, zone)
        what = f"{record.tag}, a correction" if record.correction else record.tag
        yield f"{record.destination} {record.number}: {what}, {record.state}, built {built}; {identity}".rstrip("; ")
        for odd in record.left_out:
            why = "" if odd == NOT_READ else ", as it is odd in the images"
            yield f"  left out{why}: {odd}"
        for attempt in record.tries:
            yield f"  {_moment(attempt['at'], zone)}  {attempt['outcome']}  {attempt['detail']}".rstrip()
    for name in trace.undecided_destinations:
        yield f"{name}: the present result is still to be looked at"
    if any(record.state is DeliveryState.DEAD for record in trace.deliveries):
        yield "`triage dead-letters` has what was given up, and its keys."


def _waiting(trace: StudyTrace, now: float) -> Iterator[str]:
    waiting = [each for each in trace.objects if each.waiting]
    for each in waiting:
        since = each.receipt.received_at
        age = f"for {_duration(now - since)}" if since else "since an unknown time"
        yield f"{each.instance.sop_instance_uid}  {age}; its job: {each.job}"
    if waiting:
        yield from _wrapped(
            "These objects are safe in the spool. If they wait longer than a minute: does `triage work` run, and is "
            "Redis up? The sweep enqueues anew what the queue has lost."
        )


def _dead_letters(trace: StudyTrace, zone: tzinfo | None) -> Iterator[str]:
    for each in trace.objects:
        if each.note is None:
            continue
        buried_at = each.note.get("buried_at")
        when = _moment(buried_at, zone) if isinstance(buried_at, float | int) and buried_at else "at an unknown time"
        yield f"{each.instance.sop_instance_uid}  given up {when} after {each.note.get('tries', '?')} tries"
        yield f"  error:  {each.note.get('error', 'not recorded')}"
        yield f"  again:  triage dead-letters --requeue {each.instance.key}"


def _objects(trace: StudyTrace, zone: tzinfo | None) -> Iterator[str]:
    for number, each in enumerate(trace.objects, 1):
        if number > 1:
            yield ""
        yield f"{number}. {each.instance.sop_instance_uid}"
        yield from (f"   {name:<10}{value}" for name, value in _facts(each, zone))


def _facts(each: ObjectTrace, zone: tzinfo | None) -> Iterator[tuple[str, str]]:
    yield "received", _received(each, zone)
    if each.receipt.transfer_syntax_uid:
        yield "encoded", f"{UID(each.receipt.transfer_syntax_uid).name} ({each.receipt.transfer_syntax_uid})"
    if each.receipt.association:
        yield "over", f"association {each.receipt.association}, as the log names it"
    yield "content", f"SHA-256 {each.instance.content_digest}"
    yield "lies in", f"{each.stored} ({_size(each.size_bytes)})" if each.stored else "no longer kept"
    if each.assessment is None:
        yield "result", "none yet"
        return
    yield from _assessed(each.assessment)


def _received(each: ObjectTrace, zone: tzinfo | None) -> str:
    receipt = each.receipt
    when = _moment(receipt.received_at, zone) if receipt.received_at else "at an unknown time"
    peer = f" ({receipt.peer})" if receipt.peer else ""
    called = f", calling us {receipt.called_ae_title}" if receipt.called_ae_title else ""
    return f"{when} from {receipt.calling_ae_title or 'an unknown AE'}{peer}{called}"


def _assessed(image: ImageAssessment) -> Iterator[tuple[str, str]]:
    shadow = " (shadow: changes nothing)" if image.shadow else ""
    yield "image", f"{image.modality or 'modality unknown'}, view {image.view or 'UNKNOWN'}, age {_age(image)}"
    if image.projection:
        yield "view", image.projection + (": compare View Position" if image.view_contradicted else "")
    if image.order_priority:
        yield "order", f"Requested Procedure Priority {image.order_priority}"
    yield "result", f"{image.tag.replace('_', ' ')}{shadow}"
    if image.reasons:
        yield "reasons", ", ".join(image.reasons) + (f": {image.detail}" if image.detail else "")
    if image.probability is not None:
        limit = "" if image.operating_point is None else f"; ABNORMAL from {image.operating_point:.3f}"
        yield "score", f"{image.probability:.4f}{limit}"
    if image.calibrated_probability is not None and image.prevalence is not None:
        yield (
            "calibrated",
            f"{image.calibrated_probability:.4f} where {image.prevalence:.4g} of the patients are abnormal",
        )
    if image.distance is not None and image.distance_limit is not None:
        verdict = "within" if image.distance <= image.distance_limit else "BEYOND"
        yield (
            "distance",
            f"{image.distance:.4g} from the training images, {verdict} the limit {image.distance_limit:.4g}",
        )
    yield from findings_of_image(image)
    if image.model_id:
        yield "model", image.model_id + (f", digest {image.model_digest[:16]}" if image.model_digest else "")
    for other in image.shadow_scores:
        reasons = f", {', '.join(other.reasons)}" if other.reasons else ""
        score = "" if other.probability is None else f" {other.probability:.4f}"
        yield "in shadow", f"{other.model_id}: {other.tag.replace('_', ' ')}{score}{reasons} (changes nothing)"
    steps = ", ".join(f"{name} {_duration(seconds)}" for name, seconds in (image.stages or {}).items())
    yield "time", f"{_duration(image.assessed_at - image.received_at)} from receipt" + (f": {steps}" if steps else "")


def _history(trace: StudyTrace, zone: tzinfo | None) -> Iterator[str]:
    """Yield one line for each decision; the first, and those of unchanged inputs, say so."""
    for earlier, later in reversed(list(pairwise([None, *trace.history]))):
        assert later is not None
        line = f"{_moment(later.tagged_at, zone)}  {later.tag}, priority {later.priority}, {_score(later.probability)}"
        reasons = f", {', '.join(later.reasons)}" if later.reasons else ""
        yield line + reasons + _change(earlier, later)


def _change(earlier: TriageDecision | None, later: TriageDecision) -> str:
    if earlier is None:
        return "  (first)"
    return "  (same inputs again)" if earlier.revision == later.revision else ""


def _score(probability: float | None) -> str:
    return "not scored" if probability is None else f"{probability:.4f}"


def _age(image: ImageAssessment) -> str:
    return "unknown" if image.age_years is None else f"{image.age_years:.0f} years"


def _moment(seconds: float, zone: tzinfo | None) -> str:
    return datetime.fromtimestamp(seconds, zone).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 100_000 else f"{size_bytes / 1e3:.1f} kB"


def _wrapped(text: str) -> list[str]:
    """Return ``text`` in lines for a terminal, all but the first indented."""
    lines: list[str] = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= _WIDTH:
            lines.append(" ")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines
