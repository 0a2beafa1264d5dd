from losscape_mpi.store.evaluation_text import estimator_text, passes_text, precision_text


def manifest(choices=None, **evaluation):
    return {"study": {"evaluation": evaluation}, "choices": choices or {}}


def test_float32_needs_no_proof():
    assert precision_text(manifest({"precision": "float32"}, precision="float32")) == "float32"


def test_a_proved_precision_is_told_with_its_error():
    proof = {"mode": "bfloat16", "max_relative": 0.00314, "probes": 16}
    choices = {"precision": "bfloat16", "correction": 128, "precision_error": proof}
    assert precision_text(manifest(choices, precision="auto")) == (
        "bfloat16, corrected by float32 on 128 samples (error ≤ 0.31 % at 16 probes)"
    )


def test_what_auto_fell_back_to_has_no_error():
    choices = {"precision": "float32", "precision_error": {"mode": "float32", "probes": 16}}
    assert precision_text(manifest(choices, precision="auto")) == "float32"


def test_a_file_of_another_tool_says_nothing():
    assert precision_text({}) == estimator_text({}) == passes_text({}) == ""


def test_anchors_are_told():
    anchors = {"stride": 4, "samples": None, "share": 0.1}
    assert estimator_text(manifest(estimator="anchors", anchors=anchors)) == (
        "anchors every 4 steps on all samples, other points on 10 % of them"
    )
    assert estimator_text(manifest(estimator="mean", anchors=anchors)) == ""


def test_what_a_pass_is_is_told():
    choices = {"batch_size": 64, "layout": "channels_last", "fused": True, "points_per_pass": 16}
    assert passes_text({"choices": choices}) == (
        "batch 64, channels last, 16 points at once, fused layers"
    )
