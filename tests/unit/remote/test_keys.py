"""New key pairs."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

from imframework.remote import generate_key_pair


def test_a_new_pair_is_one_and_in_the_formats_of_openssh() -> None:
    pair, other = generate_key_pair("someone@somewhere"), generate_key_pair()

    private = load_ssh_private_key(pair.private.encode(), None)
    assert private.public_key() == load_ssh_public_key(pair.public.encode())
    assert pair.public.startswith("ssh-ed25519 ")
    assert pair.public.endswith(" someone@somewhere")
    assert pair.public != other.public
    assert "PRIVATE" not in repr(pair)
