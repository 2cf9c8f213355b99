"""LitServe, batching."""

import sys

import litserve
import model
import torch


class Api(litserve.LitAPI):
    def setup(self, device):
        self.model = model.load()

    def decode_request(self, request):
        return torch.tensor(request["instances"][0], dtype=torch.float32)

    def batch(self, inputs):
        return torch.stack(inputs)

    def predict(self, rows):
        return model.answer(self.model, rows.reshape(-1, rows.shape[-1]))

    def unbatch(self, output):
        return list(output)

    def encode_response(self, output):
        return {"probabilities": output.tolist()}


if __name__ == "__main__":
    size, wait, port = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    api = Api(max_batch_size=size, batch_timeout=wait)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(port=port, generate_client_file=False, log_level="warning", num_api_servers=1)
