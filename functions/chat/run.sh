#!/bin/sh
# Starts the application where the Lambda Web Adapter looks for it; it is given one call at a time.
# The layers come first, so that their packages win over those of the runtime.
PYTHONPATH="${LAMBDA_TASK_ROOT:-$PWD}:/opt/python${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH
exec python -m uvicorn functions.chat.app:app --host 127.0.0.1 --port "${AWS_LWA_PORT:-${PORT:-8080}}" \
  --loop asyncio --http h11 --ws none --lifespan off --no-access-log --no-server-header --log-level warning \
  --timeout-keep-alive 75
