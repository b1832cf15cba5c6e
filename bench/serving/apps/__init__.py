"""The peers' servers, each run in an environment of its own: `python -m bench.serving.apps.NAME FORM FILE PORT`.

FORM and FILE: `matrix-onnx` (one float32 matrix), `columns-onnx` (one input a raw column), `columns-sklearn` (a pipeline over a
pandas frame, kept by joblib). None of these modules imports Modelyard, and each only what its environment has.
"""
