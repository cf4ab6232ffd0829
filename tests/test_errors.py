from quantbench.errors import QuantbenchError, unusable


def test_the_middle_of_a_message_that_nobody_could_read_is_left_out() -> None:
    said = str(QuantbenchError(f"begin {'9' * 100_000} end"))
    assert len(said) < 1100 and said.startswith("begin 9") and said.endswith("9 end") and "[...]" in said


def test_a_path_that_the_system_refuses_is_named_with_its_reason() -> None:
    assert "'x'" in unusable(OSError(13, "Permission denied", "x"))
    assert "Permission denied" in unusable(OSError(13, "Permission denied", "x"))
