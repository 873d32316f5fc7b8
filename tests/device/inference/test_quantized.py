import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pocketsight.device.inference.quantized import QuantizedTensor


@given(st.floats(0, 1), st.integers(1, 1024), st.integers(-128, 127))
def test_least_is_the_smallest_step_that_reaches_a_number(real: float, steps: int, zero: int) -> None:
    values = np.arange(-128, 128).astype(np.int8)
    tensor = QuantizedTensor(values, 1 / steps, zero)
    raw = values >= tensor.quantize_threshold(real)
    exact = (values.astype(np.float64) - zero) / steps
    far = np.abs(exact - real) > 1e-6  # closer than that either answer is right
    assert (raw == (exact >= real))[far].all()


def test_the_ends_of_int8_do_not_overflow() -> None:
    assert QuantizedTensor(np.array([-128, 127], np.int8), 0.5, -128).dequantize().tolist() == [0.0, 127.5]


def test_a_float_tensor_means_what_it_says() -> None:
    tensor = QuantizedTensor(np.array([0.25], np.float32))
    assert tensor.dequantize().tolist() == [0.25]
    assert tensor.quantize_threshold(0.3) == 0.3
