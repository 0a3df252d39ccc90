"""y = x W^T + b with the weights laid out once; the reference is ``torch.nn.Linear`` itself."""
