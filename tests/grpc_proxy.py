"""A gRPC server that passes every call on to another; what it does besides is its subclasses'."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import grpc  # type: ignore[import-untyped]  # its stubs are a package of their own


@dataclass
class GrpcProxy:
    """
    A proxy before the server at *host*, as a context; its own is at `port` of 127.0.0.1.

    Attributes:
        host: host:port, without TLS.
    """

    host: str

    def __enter__(self) -> Self:
        self._channel = grpc.insecure_channel(self.host)
        self._server = grpc.server(ThreadPoolExecutor(16))
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait()
        self._channel.close()

    def service(self, details: Any) -> Any:
        """Pass every method on as bytes: on the wire, one answer is a stream of one."""
        name = details.method.rsplit("/", 1)[-1]

        def answer(request: bytes, context: Any) -> Iterator[bytes]:
            self.before(name, context)
            call = self._channel.unary_stream(details.method)
            metadata = [one for one in details.invocation_metadata if one[0] != "user-agent"]
            try:
                answers = list(call(request, metadata=metadata))
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())
            yield from self.after(name, request, answers, context)

        return grpc.unary_stream_rpc_method_handler(answer)

    def before(self, name: str, context: Any) -> None:
        """See a call of the method *name* before it is passed on."""

    def after(
        self,
        name: str,
        request: bytes,
        answers: Sequence[bytes],
        context: Any,
    ) -> Iterator[bytes]:
        """Yield what the caller gets of *answers*."""
        yield from answers
