from __future__ import annotations

from pipeline.targets.kubernetes.apply import refusals
from pipeline.targets.kubernetes.cluster import Refused
from pipeline.targets.kubernetes.objects import Key
from pipeline.targets.kubernetes.waiting import Rolled

KEY = Key("apps/v1", "Deployment", "risk", "model")


def test_every_field_in_conflict_is_named_with_who_set_it() -> None:
    causes = tuple(
        {"reason": "FieldManagerConflict", "field": field, "message": 'conflict with "kubectl-set"'}
        for field in (".spec.replicas", ".spec.template")
    )
    found = refusals(KEY, Refused(409, "Apply failed with 2 conflicts", causes))
    assert [violation.id for violation in found] == ["DP-APL-002"] * 2
    assert found[0].path == "Deployment model .spec.replicas"
    assert "kubectl-set" in str(found[0].actual)
    assert "--force-conflicts" in found[0].remedy


def test_an_account_without_rights_is_told_which_it_needs() -> None:
    message = 'deployments.apps "model" is forbidden: User "x" cannot patch resource'
    (found,) = refusals(KEY, Refused(403, message, ()))
    assert (found.id, found.actual) == ("DP-APL-001", message)
    assert "deployer-rbac" in found.remedy


def test_what_admission_says_is_passed_on() -> None:
    (found,) = refusals(KEY, Refused(422, "ValidatingAdmissionPolicy 'x' denied: no", ()))
    assert found.actual == "ValidatingAdmissionPolicy 'x' denied: no"
    assert "policies" in found.remedy


def rolled(generation: int = 2, **status: int) -> Rolled:
    return Rolled.of(
        {"metadata": {"generation": generation}, "spec": {"replicas": 2}, "status": status}
    )


def test_a_rollout_is_done_when_every_pod_is_new_and_ready_and_seen() -> None:
    whole = {
        "observedGeneration": 2,
        "replicas": 2,
        "updatedReplicas": 2,
        "availableReplicas": 2,
    }
    assert rolled(**whole).done
    assert not rolled(**whole | {"observedGeneration": 1}).done
    assert not rolled(**whole | {"replicas": 3}).done
    assert not rolled(**whole | {"updatedReplicas": 1}).done
    assert not rolled(**whole | {"availableReplicas": 1}).done
    assert not rolled().done


def test_progress_counts_new_pods_apart_from_old_ones() -> None:
    state = rolled(observedGeneration=2, replicas=3, updatedReplicas=1, availableReplicas=2)
    assert str(state) == "0 of 2 new pods ready, 2 old"
