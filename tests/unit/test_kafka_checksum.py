"""The checksum of every batch on the log is computed in C: in plain Python it was half the work."""

from kafka.record import util


def test_the_client_computes_checksums_in_c() -> None:
    assert util.crc32c_c is not None, "the package crc32c is missing"


def test_it_is_the_checksum_that_kafka_means() -> None:
    assert util.calc_crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C, RFC 3720
