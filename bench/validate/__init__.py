"""Whether contributed records may be believed: what a submission is held to (docs/submitting.md).

All that it holds is untrusted: it is read with limits, never executed, and shown with its odd characters spelled out.
"""
