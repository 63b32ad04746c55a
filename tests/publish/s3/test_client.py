"""What is said when S3 refuses, or cannot be reached: where, with which request id, and never a secret."""

import http.server
import threading
import traceback

import pytest

from converter.errors import PublishError
from converter.publish import finished
from converter.publish.s3 import S3, client
from converter.publish.s3.client import asking

TOKEN = "FwoGZXIvYXdzEHUSHsessiontoken"
SECRETS = ("AKIAHUSH", "hush/secret/hush", TOKEN, "X-Amz-Signature", "X-Amz-Credential", "Signature=", "eyJhbGci")


@pytest.fixture
def talkative():
    """A server that answers whatever it is asked with an error that repeats all that it was sent: `answer(status)`."""

    class Answer(http.server.BaseHTTPRequestHandler):
        status, code = 403, "AccessDenied"

        def answer(self):
            sent = "".join(f"{name}: {value}\n" for name, value in self.headers.items())
            if length := int(self.headers.get("Content-Length", 0)):
                sent += self.rfile.read(length).decode("latin-1").replace("<", " ").replace("&", " ")
            text = (
                f"<Error><Code>{self.code}</Code><Message>You sent {self.path} {sent}</Message>"
                f"<AWSAccessKeyId>AKIAHUSHHUSHHUSHHUSH</AWSAccessKeyId><StringToSign>{sent}</StringToSign>"
                "<RequestId>4442587FB7D0A2F9</RequestId></Error>"
            )
            if self.command == "POST":  # as STS wraps it
                text = f"<ErrorResponse>{text}</ErrorResponse>"
            body = b"" if self.command == "HEAD" else text.encode()
            self.send_response(self.status, f"no {sent.splitlines()[0]}")
            self.send_header("x-amz-request-id", "4442587FB7D0A2F9")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_HEAD = answer  # noqa: N815  (the names are the library's)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    server.kind, server.address = Answer, f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def one_attempt(monkeypatch):
    monkeypatch.setattr(client, "ATTEMPTS", 1)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)


def said(error):
    """All that a log could show of an error."""
    return "".join([str(error), repr(error), repr(error.__dict__), *traceback.format_exception(error)])


def refused(shelf, dist, **options):
    with pytest.raises(PublishError) as caught:
        shelf.publish(dist, **options)
    for secret in SECRETS:
        assert secret not in said(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "AccessDenied"),
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (400, "ExpiredToken"),
        (400, "you sent AKIAHUSHHUSHHUSHHUSH and hush/secret/hush"),
        (500, "InternalError"),
        (503, "SlowDown"),
    ],
)
@pytest.mark.parametrize(
    ("operation", "name"), [("read", "build.json"), ("look up", "net.mlmodel"), ("upload", "net.mlmodel")]
)
def test_a_refusal_names_place_and_request_and_no_secret(
    shelf, make_dist, talkative, one_attempt, monkeypatch, status, code, operation, name
):
    talkative.kind.status, talkative.kind.code = status, code
    if operation != "read":
        monkeypatch.setattr("converter.publish.s3.objects.Bucket.read", lambda *_: None)
    if operation == "upload":
        monkeypatch.setattr("converter.publish.s3.objects.Bucket.state", lambda *_: "absent")
        monkeypatch.setattr("converter.publish.s3.index.read", lambda *_: None)
    words = refused(shelf, make_dist(), endpoint=talkative.address)
    assert f"publish to s3 > {operation} > s3://{shelf.name}/net/v1/{name}" in words
    assert "request id 4442587FB7D0A2F9" in words
    assert f"HTTP {status}" in words
    assert "fix:" in words


def test_no_server_at_all_is_said(shelf, make_dist, one_attempt):
    words = refused(shelf, make_dist(), endpoint="http://127.0.0.1:9")
    assert "no connection to S3 (EndpointConnectionError)" in words


def test_missing_credentials_are_said(shelf, make_dist, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "no AWS credentials were found" in refused(shelf, make_dist())


def test_an_unknown_profile_is_said(shelf, make_dist, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "none")
    assert "the AWS credentials cannot be used" in refused(shelf, make_dist())


def test_a_missing_bucket_is_said(shelf, make_dist):
    shelf.name += "-none"
    assert "make the bucket, or correct its name" in refused(shelf, make_dist())


def test_what_cannot_be_said_to_a_client_is_no_crash(shelf):
    with pytest.raises(PublishError, match="boto3 refused the request"), asking("write", shelf.name, "a"):
        shelf.client.put_object(Bucket=shelf.name, Key="a", Metadata={"a": "ä"})


@pytest.fixture
def web_identity(monkeypatch, tmp_path):
    """As aws-actions/configure-aws-credentials, or a runner's own OIDC token, leaves the environment."""
    (tmp_path / "token").write_text("eyJhbGciOiJub25lIn0.e30.")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/publish")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    return lambda address: monkeypatch.setenv("AWS_ENDPOINT_URL_STS", address)


def test_a_role_is_assumed_with_the_workflows_identity(shelf, make_dist, web_identity):
    web_identity(shelf.server)
    shelf.publish(make_dist())
    assert shelf.read_latest() == "v1"


def test_a_role_that_refuses_is_said_without_the_token(shelf, make_dist, web_identity, talkative, one_attempt):
    web_identity(talkative.address)
    talkative.kind.status, talkative.kind.code = 400, "InvalidIdentityToken"
    words = refused(shelf, make_dist())
    assert "AssumeRoleWithWebIdentity answered InvalidIdentityToken" in words
    assert "check the role's trust policy" in words


def test_the_publisher_does_not_show_its_environment(shelf):
    assert "HUSH" not in repr(S3(shelf.options(), {"GITHUB_TOKEN": "HUSH"}))


def test_the_record_and_the_outputs_hold_no_secret(shelf, make_dist):
    published = shelf.publish(make_dist())
    contents = b"".join(shelf.get(key) for key in shelf.listed()).decode()
    for secret in (*SECRETS, "X-Amz"):
        assert secret not in repr(published) + contents + repr(shelf.publisher().plan(finished(make_dist())))
