"""Where records are written besides: TensorBoard, MLflow."""
