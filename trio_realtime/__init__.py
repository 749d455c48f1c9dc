"""Structured concurrency for the OpenAI Realtime API."""
