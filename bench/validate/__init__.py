"""Whether contributed records can be trusted: what a submission must satisfy (docs/submitting.md).

Everything in it is untrusted: it is read within limits, never executed, and shown with unprintable characters escaped.
"""
