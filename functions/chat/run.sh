#!/bin/sh
# Starts the application on the port that the Lambda Web Adapter uses. It receives one call at a time.
# Packages of the layers have priority over packages of the runtime, because the layers are first in PYTHONPATH.
PYTHONPATH="${LAMBDA_TASK_ROOT:-$PWD}:/opt/python${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH
exec python -m uvicorn functions.chat.app:app --host 127.0.0.1 --port "${AWS_LWA_PORT:-${PORT:-8080}}" \
  --loop asyncio --http h11 --ws none --lifespan off --no-access-log --no-server-header --log-level warning \
  --timeout-keep-alive 75
