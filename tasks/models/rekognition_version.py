"""A project version of Amazon Rekognition Custom Labels: waited for, started, asked and stopped.

It is billed by the hour and inference unit from its start until it is stopped, whether it is asked or not
(https://docs.aws.amazon.com/rekognition/latest/customlabels-dg/running-model.html). So whatever Stormglass starts is
written into a lease first (`tasks.models.lease`) and stopped by the last process that uses it; what ran before is not.
"""

import contextlib
import getpass
import itertools
import logging
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ConfigDict, Field, field_validator

from tasks.errors import InputError, WorkFailed
from tasks.models.lease import Lease
from tasks.params.section import Section

LOGGER = logging.getLogger(__name__)

KIND: Final = "rekognition"
"""Of the leases."""

SETTLED_S: Final = 30.0
"""So long after a start the service may not say yet that it starts: before that "stopped" is not believed."""

LEAST_PX: Final = 64
"""Of a picture's shorter side."""

_STOPPED: Final = ("STOPPED", "TRAINING_COMPLETED", "COPYING_COMPLETED")
_ON_THE_WAY: Final = ("STARTING", "STOPPING")
_BUSY: Final = ("ThrottlingException", "ProvisionedThroughputExceededException", "LimitExceededException")
_KEYS: Final = (
    "UnrecognizedClientException", "InvalidSignatureException", "IncompleteSignatureException",
    "MissingAuthenticationTokenException", "ExpiredTokenException",
)  # fmt: skip
_MISTAKES: Final = (
    "AccessDeniedException", "ResourceNotFoundException", "InvalidParameterException", "ValidationException",
    "ImageTooLargeException", "InvalidImageFormatException",
)  # fmt: skip


class Options(Section):
    """What params' `options` say to the adapter."""

    model_config = ConfigDict(strict=True)

    region: str | None = None  # None: that of the ARN
    endpoint_url: str | None = None
    start: bool = False  # whether a version that is stopped may be started
    stop_after: bool = True  # whether what was started is stopped again
    wait_minutes: float = Field(30.0, gt=0, le=600)
    min_inference_units: int = Field(1, ge=1)
    max_inference_units: int | None = Field(None, ge=1)
    attempts: int = Field(8, ge=1, le=20)  # at one call
    max_side_px: int = Field(4096, ge=LEAST_PX, le=4096)
    max_bytes: int = Field(4_000_000, ge=10_000, le=4_000_000)  # 4 MB, by the smaller of its two meanings

    @field_validator("endpoint_url")
    @classmethod
    def _without_secrets(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^@\s]+", value):
            raise ValueError("expected http(s)://HOST without a user or password in it")  # and does not repeat it
        return value


class Version:
    """One version as this process uses it: `arn` names it, `options` say how it is reached and used."""

    def __init__(self, arn: str, options: Options) -> None:
        """No call is made yet.

        Args:
            arn: the version's.
            options: how it is reached and used.

        Raises:
            InputError: boto3 is not installed, or there is no such profile.
        """
        self.arn = arn
        self.options = options
        self._lease = Lease.of(KIND, arn)
        self._project: str | None = None
        self._client = self._connected()

    def hold(self) -> None:
        """Count among the processes that use it, until `leave`."""
        self._lease.hold()

    def ready(self) -> None:
        """Wait until it runs, at most `wait_minutes`; where it is stopped and `start` allows that, start it.

        Raises:
            InputError: it is stopped and may not be started, or can never run.
            WorkFailed: it takes longer, or the service does not answer.
        """
        status = "unknown"
        for pause in self._pauses():
            with self._lease.turn():
                status, message = self._status()
                if status == "RUNNING":
                    return
                if status in _STOPPED:
                    self._start(status)
                elif status not in _ON_THE_WAY:
                    raise InputError(f"{self.arn} is {status} and cannot run{f' ({message})' if message else ''}.")
            time.sleep(pause)
        raise WorkFailed(f"{self.arn} is still {status} after {self.options.wait_minutes:g} min: try again later.")

    def detect(self, picture: bytes, *, min_confidence: float, what: str) -> list[dict[str, Any]]:
        """The service's labels for an encoded picture; a version that is not ready is waited for.

        Args:
            picture: PNG or JPEG.
            min_confidence: 0..100.
            what: the picture in words, for errors.

        Raises:
            InputError: it does not take the picture, or as `ready`.
            WorkFailed: it is too busy, or as `ready`.
        """
        given = {"ProjectVersionArn": self.arn, "Image": {"Bytes": picture}, "MinConfidence": min_confidence}
        for pause in self._pauses():
            try:
                with self._told(what):
                    return list(self._client.detect_custom_labels(**given)["CustomLabels"])
            except self._client.exceptions.ResourceNotReadyException:
                time.sleep(pause)
                self.ready()
        raise WorkFailed(f"{self.arn} said for {self.options.wait_minutes:g} min that it is not ready.")

    def leave(self) -> bool:
        """Use it no longer; the last process to do so stops what was started. Whether it was this one, just now.

        Raises:
            WorkFailed: it could not be stopped and is billed on; its lease stays for the next try.
        """
        try:
            record = self._lease.read() if self._lease.alone() else None
            return record is not None and self._stop(record)
        finally:
            self._lease.leave()

    def _start(self, status: str) -> None:
        if not self.options.start:
            raise InputError(
                f"{self.arn} is {status}: start it, or allow that with options: {{start: true}}; it is billed while it "
                "runs, and stopped when the run ends."
            )
        known = self._lease.read()
        if self.options.stop_after:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            by = {"by": f"{_user()}@{socket.gethostname()}", "pid": os.getpid(), "at": now}
            where = {"region": self.options.region, "endpoint_url": self.options.endpoint_url}
            self._lease.write({"arn": self.arn, **where, **by})
        LOGGER.info("Starting %s, which is billed while it runs.", self.arn)
        units = {"MinInferenceUnits": self.options.min_inference_units}
        if self.options.max_inference_units is not None:
            units["MaxInferenceUnits"] = self.options.max_inference_units
        try:
            with self._told("StartProjectVersion"):
                self._client.start_project_version(ProjectVersionArn=self.arn, **units)
        except self._client.exceptions.ResourceInUseException as error:
            # Somebody else was quicker, unless the first of several tries was ours and only its answer was lost.
            if known is None and not error.response["ResponseMetadata"].get("RetryAttempts"):
                self._lease.clear()
        except InputError:  # refused: whatever else went wrong may have started it
            if known is None:
                self._lease.clear()
            raise

    def _stop(self, record: Mapping[str, Any]) -> bool:
        status, done = "unknown", False
        try:
            for tries, pause in enumerate(self._pauses()):
                status, _ = self._status()
                if tries == 1:
                    LOGGER.warning("%s is %s: waiting until it can be stopped.", self.arn, status)
                age_s = (datetime.now(UTC) - datetime.fromisoformat(record["at"])).total_seconds()
                if status in ("STARTING", "RUNNING"):
                    if done := self._takes_stop():
                        break
                elif status not in _STOPPED or age_s > SETTLED_S:
                    break
                time.sleep(pause)
            else:
                raise WorkFailed(f"it is still {status}.")
        except (InputError, WorkFailed) as error:
            raise WorkFailed(
                f"{self.arn}, started by {record['by']} (process {record['pid']}, {record['at']}), could not be "
                f"stopped and may be billed on: run `stormglass doctor`, or stop it and remove {self._lease.path} "
                f"({str(error).rstrip('.')})."
            ) from None
        self._lease.clear()
        if done:
            LOGGER.info("Stopped %s.", self.arn)
        return done

    def _takes_stop(self) -> bool:
        try:
            with self._told("StopProjectVersion"):
                self._client.stop_project_version(ProjectVersionArn=self.arn)
        except self._client.exceptions.ResourceInUseException:
            return False
        return True

    def _status(self) -> tuple[str, str]:
        with self._told("DescribeProjectVersions"):
            _, project, _, name, _ = self.arn.split("/")
            if self._project is None:  # its ARN ends in a number that the version's does not tell
                found = self._client.describe_projects(ProjectNames=[project])["ProjectDescriptions"]
                self._project = next((str(one["ProjectArn"]) for one in found), None)
            if self._project is not None:
                asked = {"ProjectArn": self._project, "VersionNames": [name]}
                for one in self._client.describe_project_versions(**asked)["ProjectVersionDescriptions"]:
                    if one["ProjectVersionArn"] == self.arn:
                        return str(one["Status"]), str(one.get("StatusMessage", ""))
        raise InputError(f"There is no project version {self.arn} in {self._client.meta.region_name} of this account.")

    def _pauses(self) -> Iterator[float]:
        """Seconds to wait between looks: growing, until `wait_minutes` have passed."""
        deadline = time.monotonic() + 60 * self.options.wait_minutes
        for step in itertools.count():
            left = deadline - time.monotonic()
            yield max(0.0, min(0.5 * 1.5 ** min(step, 20), 30.0, left))
            if left <= 0:
                return

    def _connected(self) -> Any:
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise InputError("Adapter 'rekognition' needs boto3: pip install stormglass[rekognition].") from None
        # The standard mode tries again with jittered, growing pauses: throttling, 5xx, and connections that broke.
        tries = {"mode": "standard", "total_max_attempts": self.options.attempts}
        with self._told("the connection"):
            return boto3.session.Session().client(
                "rekognition",
                region_name=self.options.region or self.arn.split(":")[3],
                endpoint_url=self.options.endpoint_url,
                config=Config(retries=tries, connect_timeout=10, read_timeout=60),
            )

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Errors of the library as sentences, without what it says of keys; what says "not now" is let through."""
        from botocore import exceptions

        try:
            yield
        except exceptions.ClientError as error:
            code, text = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
            if code in ("ResourceInUseException", "ResourceNotReadyException"):
                raise
            if code in _KEYS:
                raise InputError(
                    f"AWS does not take the credentials of this environment ({code}): renew them."
                ) from None
            if code in _BUSY:
                raise WorkFailed(
                    f"{self.arn} is too busy for {what} ({code} {self.options.attempts} times): lower run.workers, "
                    "or start it with more min_inference_units."
                ) from None
            kind = InputError if code in _MISTAKES else WorkFailed
            raise kind(f"{self.arn} does not take {what} ({code}{f': {text}' if text else ''}).") from None
        except exceptions.BotoCoreError as error:
            name = type(error).__name__
            if any(word in name for word in ("Credential", "Token", "Profile")):
                raise InputError(
                    f"{self.arn} needs AWS credentials, and this environment gives none ({name}): set AWS_PROFILE, or "
                    "sign in."
                ) from None
            raise WorkFailed(f"{self.arn} did not answer {what}: {' '.join(str(error).split())}") from None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


def stop_left_behind() -> list[str]:
    """Stop what processes started that were killed before they could; the versions.

    Raises:
        WorkFailed: one could not be stopped; the others were tried.
    """
    stopped, failed = [], []
    for lease in Lease.all(KIND):
        try:
            record = lease.read() if lease.alone() else None
        finally:
            lease.leave()
        if record:
            where = {name: record[name] for name in ("region", "endpoint_url")}
            version = Version(record["arn"], Options(**where, attempts=3, wait_minutes=1))
            try:
                if version.leave():  # which asks once more whether it is in use
                    stopped.append(version.arn)
            except WorkFailed as error:
                failed.append(str(error))
    if failed:
        raise WorkFailed(" ".join(failed))
    return stopped
