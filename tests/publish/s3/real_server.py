"""What only a real S3 server can tell; script/test-s3 starts one and runs this."""


def test_the_server_is_real(shelf):
    assert "Server" not in shelf.client.list_buckets()["ResponseMetadata"]["HTTPHeaders"]
