"""What the module for Apache Kafka can be asked without starting it."""

from uuid import UUID

from exchange.embedded.apache_kafka import new_cluster_id

LIKE_AN_OPTION = UUID(bytes=b"\xfb" + bytes(15))


def test_a_cluster_id_never_looks_like_an_option() -> None:
    draws = iter([LIKE_AN_OPTION, UUID(int=1)])
    assert new_cluster_id(lambda: next(draws)) == "AAAAAAAAAAAAAAAAAAAAAQ"
