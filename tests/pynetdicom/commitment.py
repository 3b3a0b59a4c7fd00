"""Storage Commitment by pynetdicom, as the other side of Auscult: python commitment.py MODE [PORT]

ask-and-wait PORT     asks Auscult, and takes the outcome on the same association
ask-and-leave PORT    asks Auscult, releases, and takes the outcome as an acceptor
answer                is asked, and reports on the same association
answer-later PORT     is asked, and reports to Auscult on an association of its own

Prints its own port where it accepts associations, then one JSON object.
"""

import json
import sys
import threading

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModel

INSTANCE = "1.2.840.10008.1.20.1.1"
CR = "1.2.840.10008.5.1.4.1.1.1"
SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian]
PATIENCE = 30


def references(*instances):
    items = []
    for instance in instances:
        item = Dataset()
        item.ReferencedSOPClassUID = CR
        item.ReferencedSOPInstanceUID = instance
        items.append(item)
    return items


def entity():
    ae = AE("PYNETDICOM")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = PATIENCE
    return ae


def associate(ae, port, **more):
    ae.add_requested_context(StorageCommitmentPushModel, SYNTAXES)
    association = ae.associate("127.0.0.1", port, ae_title="AUSCULT", **more)
    if not association.is_established:
        sys.exit("no association")
    return association


def ask(association):
    request = Dataset()
    request.TransactionUID = "2.25.77"
    request.ReferencedSOPSequence = references("1.2.3.2", "1.2.3.3", "1.2.3.4")
    status, _ = association.send_n_action(request, 1, StorageCommitmentPushModel, INSTANCE)
    return status.Status


class Outcome:
    """Waits for an N-EVENT-REPORT and keeps what it says."""

    def __init__(self):
        self.come = threading.Event()
        self.said = {}

    def take(self, event):
        outcome = event.event_information
        failed = outcome.get("FailedSOPSequence", [])
        self.said = {
            "event": event.event_type,
            "transaction": outcome.TransactionUID,
            "committed": [item.ReferencedSOPInstanceUID for item in outcome.get("ReferencedSOPSequence", [])],
            "failed": [[item.ReferencedSOPInstanceUID, item.FailureReason] for item in failed],
        }
        self.come.set()
        return 0x0000, None

    def told(self, action):
        if not self.come.wait(PATIENCE):
            sys.exit("no outcome came")
        return {"action": action, **self.said}


def listen(ae, handlers):
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    print(server.socket.getsockname()[1], flush=True)
    return server


def ask_and_wait(port):
    outcome = Outcome()
    association = associate(entity(), port, evt_handlers=[(evt.EVT_N_EVENT_REPORT, outcome.take)])
    said = outcome.told(ask(association))
    association.release()
    return said


def ask_and_leave(port):
    outcome = Outcome()
    ae = entity()
    # The requestor's proposal to be SCP is accepted.
    ae.add_supported_context(StorageCommitmentPushModel, SYNTAXES, scu_role=False, scp_role=True)
    server = listen(ae, [(evt.EVT_N_EVENT_REPORT, outcome.take)])
    association = associate(entity(), port)
    action = ask(association)
    association.release()
    said = outcome.told(action)
    server.shutdown()
    return said


def report(association, request):
    outcome = Dataset()
    outcome.TransactionUID = request.TransactionUID
    asked = [item.ReferencedSOPInstanceUID for item in request.ReferencedSOPSequence]
    outcome.ReferencedSOPSequence = references(*asked[1:])
    outcome.FailedSOPSequence = references(*asked[:1])
    outcome.FailedSOPSequence[0].FailureReason = 0x0112
    status, _ = association.send_n_event_report(outcome, 2, StorageCommitmentPushModel, INSTANCE)
    return {"report": status.get("Status"), "references": len(asked)}


def answer(port):
    """Reports on the association that asks, or, where there is a port, on another one once that is released."""
    done = threading.Event()
    said = {}
    asked = []

    def act(event):
        asked.append(event.action_information)
        if port is None:
            threading.Thread(target=report_here, args=(event.assoc,)).start()
        return 0x0000, None

    def report_here(association):
        said.update(report(association, asked[0]))
        done.set()

    def report_elsewhere(_):
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        association = associate(entity(), port, ext_neg=[role])
        said.update(report(association, asked[0]))
        association.release()
        done.set()

    handlers = [(evt.EVT_N_ACTION, act)]
    if port is not None:
        handlers.append((evt.EVT_RELEASED, report_elsewhere))
    ae = entity()
    ae.add_supported_context(StorageCommitmentPushModel, SYNTAXES)
    server = listen(ae, handlers)
    if not done.wait(PATIENCE):
        sys.exit("nobody asked")
    server.shutdown()
    return said


mode, port = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None
modes = {"ask-and-wait": ask_and_wait, "ask-and-leave": ask_and_leave, "answer": answer, "answer-later": answer}
print(json.dumps(modes[mode](port)), flush=True)
